"""`python -m docs.generate`: write the documents that are not up to date, and say which."""

from docs.generate import FOLDER, write

for path in write():
    print(f"docs/{path.relative_to(FOLDER)}")

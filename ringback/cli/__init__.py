"""The command `ringback`."""

import os
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from ringback.cli.arguments import parse
from ringback.envelope import describe
from ringback.errors import InvalidMessage, RingbackError

OK, FAILED, MISUSED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Answers 0 if all went as asked, 1 if not, 2 if what was typed or given makes no sense; errors are one line.
    """
    parsed = parse(arguments)
    try:
        code = int(parsed.run(parsed))
        sys.stdout.flush()
    except InvalidMessage as error:
        return _complain(f"no message: {error}", MISUSED)
    except ValidationError as error:
        return _complain(describe(error), MISUSED)
    except RingbackError as error:
        return _complain(str(error), FAILED)
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:
        # Whoever read has seen enough. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def _complain(text: str, code: int) -> int:
    print(f"ringback: {text}", file=sys.stderr)
    return code

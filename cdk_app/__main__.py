"""`python -m cdk_app`: what the CDK command runs."""

import sys

from cdk_app.app import make_app
from cdk_app.bundles import BundlingError
from cdk_app.settings import SettingsError

try:
    make_app().synth()
except (BundlingError, SettingsError) as error:
    sys.exit(str(error))

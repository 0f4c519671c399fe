"""What can go wrong in a way the person at the terminal can mend; the message says how.

LocalError
    AlreadyRunning      another run holds the directory
    PortBusy            another program listens on the port
    CloudFailed         MiniStack did not start, or died
    DeploymentFailed    `cdk bootstrap` or `cdk deploy` failed
    NotRunning          there is no installation to read
    NoBrowser           there is no Chromium
"""


class LocalError(Exception):
    """The message is all the person sees: no traceback."""


class AlreadyRunning(LocalError):
    """Another run holds the directory."""


class PortBusy(LocalError):
    """Another program listens on the port."""


class CloudFailed(LocalError):
    """MiniStack did not start, or died."""


class DeploymentFailed(LocalError):
    """`cdk bootstrap` or `cdk deploy` failed."""


class NotRunning(LocalError):
    """There is no installation to read."""


class NoBrowser(LocalError):
    """There is no Chromium."""

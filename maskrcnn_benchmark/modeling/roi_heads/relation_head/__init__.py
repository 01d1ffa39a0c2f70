"""Relations between the objects of an image. Importing this registers the RelCLIP plugin and its configuration node."""

from . import relclip  # noqa: F401

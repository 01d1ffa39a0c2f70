"""Scene graphs to look at in a browser: picture, graph and triplets that light up together.

Pages are single files that need no other file and no network. `viewer.js` draws what `component` describes in json.
"""

from .component import component, image_symbol, scripts, styles
from .page import page

__all__ = ["component", "image_symbol", "page", "scripts", "styles"]

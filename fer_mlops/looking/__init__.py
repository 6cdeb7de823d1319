"""Where models look on faces of any source: maps, figures on them, and a page that shows both."""

from fer_mlops.looking.explaining import NUMBERS, PAGE, explain_images
from fer_mlops.looking.images import FaceImages, find_images
from fer_mlops.looking.look import Look

__all__ = ["NUMBERS", "PAGE", "FaceImages", "Look", "explain_images", "find_images"]

"""Single images: opening files, finding faces, reading video, arrays of faces."""

from fer_mlops.images.reading import begins_like_image, from_base64

__all__ = ["begins_like_image", "from_base64"]  # by this name in the code of older registered versions

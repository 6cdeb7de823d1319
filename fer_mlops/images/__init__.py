"""Images: decoding, face detection, video, arrays of faces."""

from fer_mlops.images.reading import begins_like_image, from_base64

__all__ = ["begins_like_image", "from_base64"]  # imported by code in older registered versions

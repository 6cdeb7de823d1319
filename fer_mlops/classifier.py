"""Former location of Classifier, kept because code inside older registered versions imports it."""

from fer_mlops.models.classifier import Classifier

__all__ = ["Classifier"]

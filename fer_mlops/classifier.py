"""The former place of Classifier, which the code inside older registered versions imports."""

from fer_mlops.models.classifier import Classifier

__all__ = ["Classifier"]

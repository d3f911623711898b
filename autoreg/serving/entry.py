"""What MLflow keeps as the code of a model and runs when it loads one; the class comes from the installed package."""

from mlflow.models import set_model

from autoreg.serving.model import RegistrationModel

set_model(RegistrationModel())

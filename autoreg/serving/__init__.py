"""Trained models for others: as MLflow knows models, and in its registry."""

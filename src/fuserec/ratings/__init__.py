"""Rating prediction: models that say how many stars, how sure they are, and how they are measured."""

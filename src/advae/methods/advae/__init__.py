"""The self-adversarial variational autoencoder of Wang et al. 2020."""

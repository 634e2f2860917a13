"""What layers are made of; the folders below are registries."""

"""Configurations and checkpoints of UER-py and TencentPretrain."""

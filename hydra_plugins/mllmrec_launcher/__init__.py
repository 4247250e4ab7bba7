"""Where Hydra looks for launchers; it takes none from another package."""

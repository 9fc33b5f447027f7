"""The commands of the shell beside LightningCLI's, one file each."""

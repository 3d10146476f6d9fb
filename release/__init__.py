"""What a release consists of, made from the commit alone: `make release`, and docs/releasing.md for the rest."""

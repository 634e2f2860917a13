"""Ways of choosing the tokens that masked language modelling predicts, one name one file."""

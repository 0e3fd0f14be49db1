"""Events: found in scores, kept with evidence, stored, and told to receivers of alerts."""

"""Object storage beside folders: inputs are copied to this machine when they are needed, results published whole."""

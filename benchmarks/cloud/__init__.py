"""The cloud on this machine that bill and wake are played on, with a meter."""

"""Whether a camera still shows what its scene has learnt: false alarms against the promise, the view, the light."""

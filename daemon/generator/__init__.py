"""Draw images: a client without torch, and the child process where torch and diffusers live."""

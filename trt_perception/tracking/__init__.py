"""Gives the objects of a camera's images names that stay: SORT, ByteTrack and DeepSORT."""

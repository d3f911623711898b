"""Registration without training: classical peers behind one interface, on the grid that a pair shares."""

from autoreg.classical.interface import Register
from autoreg.classical.peers import PEERS, open_peer

__all__ = ["PEERS", "Register", "open_peer"]

"""The other side of the wire: local stand-ins for the services that destinations tell, over real HTTP, on this machine only."""

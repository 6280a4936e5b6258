"""What the interop cases stand on: processes, network namespaces, servers, a few lines of STUN."""

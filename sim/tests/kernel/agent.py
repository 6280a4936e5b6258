# A host in the network namespace that it is started in: does what it is told on stdin, a line each, and
# ends when that does. Sockets are made when they are first named.
import select, signal, socket, sys

sockets = {}

def address(text):
    host, port = text.split(":")
    return host, int(port)

def at(local):
    if local not in sockets:
        sockets[local] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sockets[local].bind(address(local))
    return sockets[local]

def send(local, remote, text):
    at(local).sendto(text.encode(), address(remote))
    return "sent"

# Where the packet with this text arrives, and from whom.
def recv(text, seconds):
    while ready := select.select(list(sockets.values()), [], [], float(seconds))[0]:
        for s in ready:
            data, source = s.recvfrom(100)
            if data.decode() == text:
                return "%s:%d %s:%d" % (*s.getsockname(), *source)
    return "nothing"

# Whether a packet is answered with ICMP "port unreachable".
def refused(local, remote, seconds):
    s = at(local)
    s.connect(address(remote))
    s.send(b"anybody?")
    s.settimeout(float(seconds))
    try:
        s.recv(100)
        answer = "answered"
    except ConnectionRefusedError:
        answer = "refused"
    except TimeoutError:
        answer = "nothing"
    close(local)
    return answer

def close(local):
    at(local).close()
    del sockets[local]
    return "closed"

signal.alarm(120)
print("ready", flush=True)
for line in sys.stdin:
    name, *arguments = line.split()
    print({"bind": lambda local: at(local) and "bound", "send": send, "recv": recv, "refused": refused,
           "close": close}[name](*arguments), flush=True)

# Holds connections: argv = addresses, connections of each, host, port, what each says at first.
# An HTTP request is repeated every 10 s. Prints how many were accepted, and ends with its parent.
import resource, socket, sys, time

resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
addresses, each, host, port, say = sys.argv[1:6]
say = say.encode().decode("unicode_escape").encode()
held = []
for address in addresses.split(","):
    for _ in range(int(each)):
        try:
            s = socket.socket()
            s.settimeout(2)
            s.bind((address, 0))
            s.connect((host, int(port)))
            if say:
                s.sendall(say)
            held.append(s)
        except OSError:
            pass
print(len(held), flush=True)
while True:
    time.sleep(10)
    for s in held if b"HTTP" in say else []:
        try:
            s.setblocking(False)
            s.recv(65536)
            s.sendall(say)
        except OSError:
            pass

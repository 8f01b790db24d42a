"""writer.py DIR ENDPOINT[,ENDPOINT...] LOG [MS]: writes a key to etcd every 20 ms, over one connection
as long as it holds, and logs when each write was acknowledged. A write that fails goes to the next
endpoint, over a new connection, for which the files are read again. Ends at SIGTERM.

DIR holds ca.crt, client.crt and client.key; the log has a line for each write: monotonic time."""

import base64
import http.client
import json
import signal
import ssl
import sys
import time

directory, endpoints, log = sys.argv[1:4]
endpoints = endpoints.split(",")
interval = int(sys.argv[4]) / 1000 if len(sys.argv) > 4 else 0.02
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

connection = None
number = 0
with open(log, "w", buffering=1) as out:
    while True:
        started = time.monotonic()
        number += 1
        body = json.dumps(
            {
                "key": base64.b64encode(b"bed/writer").decode(),
                "value": base64.b64encode(str(number).encode()).decode(),
            }
        )
        try:
            if connection is None:
                context = ssl.create_default_context(cafile=f"{directory}/ca.crt")
                context.load_cert_chain(f"{directory}/client.crt", f"{directory}/client.key")
                host, port = endpoints[0].rsplit(":", 1)
                connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=5)
            connection.request("POST", "/v3/kv/put", body)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise OSError(f"status {answer.status}")
            out.write(f"{time.monotonic():.4f}\n")
        except (OSError, http.client.HTTPException) as error:
            out.write(f"# {error}\n")
            connection = None
            endpoints.append(endpoints.pop(0))
        time.sleep(max(0.0, interval - (time.monotonic() - started)))

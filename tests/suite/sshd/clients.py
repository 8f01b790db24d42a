"""The main job with clients that are not OpenSSH's.

paramiko|asyncssh HOST COMMAND < request   standard output: the answer
two-sessions HOST   whether a second session opens beside a first (paramiko)
"""
import asyncio
import socket
import sys
import warnings

warnings.filterwarnings("ignore")


def transport(host):
    import paramiko

    connection = paramiko.Transport(socket.create_connection((host, 22), timeout=30))
    connection.start_client(timeout=30)
    connection.auth_none("signer")
    return connection


def with_paramiko(host, command):
    connection = transport(host)
    session = connection.open_session(timeout=30)
    session.exec_command(command)
    session.sendall(sys.stdin.buffer.read())
    session.shutdown_write()
    answer = session.makefile("rb").read()
    sys.stdout.buffer.write(answer)
    sys.stderr.buffer.write(session.makefile_stderr("rb").read())
    status = session.recv_exit_status()
    connection.close()
    return status


def two_sessions(host):
    import paramiko

    connection = transport(host)
    first = connection.open_session(timeout=30)
    first.exec_command("kubemaster-m")
    try:
        second = connection.open_session(timeout=30)
        second.exec_command("get-certificate")
        print("opened:", second.makefile("rb").read().decode()[:27])
    except paramiko.ChannelException as error:
        print("refused:", error.text)
    connection.close()
    return 0


async def with_asyncssh(host, command):
    import asyncssh

    async with asyncssh.connect(
        host, username="signer", known_hosts=None, client_keys=None, config=None
    ) as connection:
        done = await connection.run(command, input=sys.stdin.read())
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        return done.exit_status


if sys.argv[1] == "paramiko":
    sys.exit(with_paramiko(*sys.argv[2:4]))
if sys.argv[1] == "two-sessions":
    sys.exit(two_sessions(sys.argv[2]))
sys.exit(asyncio.run(with_asyncssh(*sys.argv[2:4])))

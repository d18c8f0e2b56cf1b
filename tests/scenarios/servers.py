"""Real mail servers for the scenarios: private instances of Debian's Postfix and Dovecot in a temporary folder, on free loopback
ports, in the foreground, ended by process id. Nothing of the machine's own configuration or services is used or changed."""

import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from gateway import ROOT, die_with_parent, free_port, wait_until

PEERS = Path(os.environ.get("POSTERN_PEERS", ROOT / "build" / "peers"))
POSTFIX = PEERS / "postfix"
DOVECOT = Path("/usr/sbin/dovecot")
USERS = [f"{name}@{domain}" for domain in ("example.org", "example.net") for name in ("u", "v", "w", "postmaster")]
MAIL_USER = "nobody"  # owns the mailboxes; both servers refuse to deliver as root


def why_no_postfix():
    """The one line that says why Postfix cannot run here, or None."""
    if not (POSTFIX / "usr/lib/postfix/sbin/master").exists():
        return f"no Postfix below {PEERS}: run tests/scenarios/peers/unpack-postfix {PEERS}"
    if os.geteuid() != 0:
        return "Postfix runs only as root"
    return None


def why_no_dovecot():
    if not DOVECOT.exists() or not Path("/usr/lib/dovecot/lmtp").exists():
        return "Dovecot is not installed (dovecot-core, dovecot-lmtpd)"
    if os.geteuid() != 0:
        return "Dovecot is run as root, so that it can deliver as another user"
    return None


class Server:
    """One foreground process in a folder of its own, which other users may walk through."""

    name = "server"

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix=f"postern-{self.name}-"))
        self.folder.chmod(0o755)
        self.port = free_port()
        self.process = None

    def start_process(self, arguments, environment=None):
        # A session of its own: Postfix's master ends by a signal to its whole process group.
        with open(self.folder / "output", "ab") as output:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder,
                                            env={**os.environ, **(environment or {})}, start_new_session=True, preexec_fn=die_with_parent)
        wait_until(self.answers, 20, 0.05, what=f"{self.name} on port {self.port}")

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}: {self.log()[-2000:]}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
                return probe.recv(512).startswith(b"220")
        except OSError:
            return False

    def log(self):
        return "".join(path.read_text(errors="replace") for path in (self.folder / "output", self.folder / "log") if path.exists())

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def mailbox(self, address):
        """Raw bytes of the messages in one user's Maildir, oldest first."""
        user, domain = address.split("@")
        box = self.folder / "mail" / domain / user
        files = [path for part in ("new", "cur") for path in (box / part).glob("*")]
        return [path.read_bytes() for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]

    def wait_for(self, address, text, count=1, seconds=15):
        """The messages of the user that contain the text, once there are so many."""
        def found():
            return (lambda some: some if len(some) >= count else None)([m for m in self.mailbox(address) if text.encode() in m])
        return wait_until(found, seconds, 0.05, what=f"{count} messages with {text!r} for {address}: {self.log()[-1500:]}")

    def make_mail_folder(self):
        owner = pwd.getpwnam(MAIL_USER)
        for address in USERS:
            user, domain = address.split("@")
            for part in ("new", "cur", "tmp"):
                (self.folder / "mail" / domain / user / part).mkdir(parents=True)
        for path in [self.folder / "mail", *(self.folder / "mail").rglob("*")]:
            os.chown(path, owner.pw_uid, owner.pw_gid)
        return owner


class Dovecot(Server):
    """LMTP into Maildirs; a recipient that is not one of USERS is refused at RCPT."""

    name = "dovecot"

    @property
    def url(self):
        return f"lmtp://127.0.0.1:{self.port}"

    def start(self):
        owner = self.make_mail_folder()
        ids = f"{owner.pw_uid}:{owner.pw_gid}"
        (self.folder / "users").write_text("".join(
            f"{a}:{{PLAIN}}x:{ids}::{self.folder}/mail/{a.split('@')[1]}/{a.split('@')[0]}::\n" for a in USERS))
        (self.folder / "conf").write_text(f"""
protocols = lmtp
ssl = no
base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = {self.folder}/log
mail_location = maildir:~
first_valid_uid = 1
postmaster_address = postmaster@example.org
hostname = dovecot.example
auth_username_format = %Lu
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = {self.folder}/users
}}
userdb {{
  driver = passwd-file
  args = {self.folder}/users
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0600
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.port}
  }}
}}
service stats {{
  chroot =
}}
""")
        self.start_process([str(DOVECOT), "-F", "-c", str(self.folder / "conf")])
        return self


class Postfix(Server):
    """smtpd on a free port, with the whole queue behind it. What becomes of mail is up to the main.cf lines of the subclass."""

    name = "postfix"
    hostname = "postfix.example"
    smtpd_processes = 20

    @property
    def url(self):
        return f"smtp://127.0.0.1:{self.port}"

    def main_cf(self):
        raise NotImplementedError

    def start(self):
        owner = self.make_mail_folder()
        self.make_queue()
        libraries = POSTFIX / "usr/lib/postfix"
        (self.folder / "etc" / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {self.folder}/spool
data_directory = {self.folder}/data
command_directory = {POSTFIX}/usr/sbin
daemon_directory = {libraries}/sbin
shlib_directory = {libraries}
import_environment = MAIL_CONFIG LANG=C LD_LIBRARY_PATH={libraries}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {self.folder}/log
maillog_file_prefixes = {self.folder}
myhostname = {self.hostname}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
biff = no
disable_dns_lookups = yes
in_flow_delay = 0
smtp_tls_security_level = none
smtpd_tls_security_level = none
smtpd_client_connection_count_limit = 0
virtual_uid_maps = static:{owner.pw_uid}
virtual_gid_maps = static:{owner.pw_gid}
""" + self.main_cf())
        (self.folder / "etc" / "master.cf").write_text(MASTER_CF.format(port=self.port, smtpd_processes=self.smtpd_processes))
        self.start_process([str(libraries / "sbin/master"), "-c", str(self.folder / "etc"), "-d"],
                           {"LD_LIBRARY_PATH": str(libraries), "MAIL_CONFIG": str(self.folder / "etc")})
        return self

    def make_queue(self):
        """The folders `postfix start` would make, without its checks of the installed package."""
        owner = pwd.getpwnam("postfix")
        group = grp.getgrnam("postdrop").gr_gid
        for name in ("etc", "data", "spool", "spool/pid"):
            (self.folder / name).mkdir(mode=0o755)
        os.chown(self.folder / "data", owner.pw_uid, owner.pw_gid)
        for name, mode in [(n, 0o700) for n in "active bounce corrupt defer deferred flush hold incoming private saved trace".split()] + [
                ("maildrop", 0o730), ("public", 0o710)]:
            path = self.folder / "spool" / name
            path.mkdir()
            os.chown(path, owner.pw_uid, group if name in ("maildrop", "public") else -1)
            path.chmod(mode)


class PostfixBackend(Postfix):
    """Delivers for USERS into Maildirs (virtual(8)); other recipients are refused at RCPT."""

    name = "postfix-backend"

    def main_cf(self):
        (self.folder / "etc" / "mailboxes").write_text("".join(f"{a} {a.split('@')[1]}/{a.split('@')[0]}/\n" for a in USERS))
        return f"""
mynetworks =
virtual_mailbox_domains = example.org, example.net
virtual_mailbox_base = {self.folder}/mail
virtual_mailbox_maps = texthash:{self.folder}/etc/mailboxes
virtual_minimum_uid = 1
smtpd_relay_restrictions = reject_unauth_destination
message_size_limit = 52428800
virtual_mailbox_limit = 0
"""


class PostfixSender(Postfix):
    """A sending server: what it takes on its port goes through its queue to `target_port`; what is put off is soon tried again."""

    name = "postfix-sender"
    hostname = "sender.example"

    def __init__(self, target_port, extra=""):
        super().__init__()
        self.target_port = target_port
        self.extra = extra

    def main_cf(self):
        return f"""
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [127.0.0.1]:{self.target_port}
message_size_limit = 52428800
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
transport_retry_time = 1s
{self.extra}
"""

    def queue_is_empty(self):
        spool = self.folder / "spool"
        return not any(any(path.is_file() for path in (spool / part).rglob("*")) for part in ("incoming", "active", "deferred", "maildrop"))


MASTER_CF = """
127.0.0.1:{port} inet n - n - {smtpd_processes} smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def postfix_program(name):
    """The arguments that run one of Postfix's programs, e.g. smtp-source, from the unpacked package."""
    return ["env", f"LD_LIBRARY_PATH={POSTFIX}/usr/lib/postfix", str(POSTFIX / "usr/sbin" / name)]

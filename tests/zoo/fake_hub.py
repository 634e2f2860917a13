"""A server on 127.0.0.1 that answers as the hub does, with one repository, and can misbehave."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REPO = "org/tiny"
COMMIT = "1" * 40
FILES = {
    "README.md": b"not needed",
    "config.json": b'{"model_type": "bert"}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    "tokenizer_config.json": b"{}",
    "modules.json": b"[]",
    "1_Pooling/config.json": b'{"word_embedding_dimension": 2}',
    "model.safetensors": bytes(range(256)) * 1000,
    "pytorch_model.bin": b"the same weights, pickled",
    "tf_model.h5": b"the same weights, of another framework",
}
LARGE = ("model.safetensors", "pytorch_model.bin", "tf_model.h5")
NEEDED = sorted(set(FILES) - {"README.md", "pytorch_model.bin", "tf_model.h5"})


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class FakeHub:
    """Serves until closed.

    Args that may be changed meanwhile:
        files: contents by name.
        served: contents that are sent instead of these.
        refuse: status and error code of every answer.
        cut: names whose next transfer ends in the middle.
        requests: (method, path, first byte asked for) of every request.
    """

    def __init__(self, repo=REPO):
        self.repo, self.files, self.served, self.cut = repo, dict(FILES), {}, set()
        self.refuse, self.commit, self.requests = None, COMMIT, []
        hub = self

        class Handler(_Handler):
            owner = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def sent(self):
        """Names of the files whose contents were asked for."""
        return sorted(
            path.partition(f"/resolve/{self.commit}/")[2] or path.rpartition("/resolve/main/")[2]
            for method, path, _ in self.requests
            if method == "GET" and "/resolve/" in path
        )

    def listing(self):
        siblings = []
        for name, content in self.files.items():
            fact = {"rfilename": name, "size": len(content), "blobId": git_sha1(content)}
            if name in LARGE:
                fact["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 130}
            siblings.append(fact)
        return {
            "id": self.repo,
            "sha": self.commit,
            "siblings": siblings,
            "private": False,
            "tags": [],
        }


class _Handler(BaseHTTPRequestHandler):
    owner: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def log_message(self, *_):
        pass

    def _answer(self, body):
        hub = self.owner
        path = self.path.partition("?")[0]
        first = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-")
        hub.requests.append((self.command, path, int(first)))
        revisions = ("main", hub.commit)
        if hub.refuse is not None:
            self._error(*hub.refuse)
        elif path in [f"/api/models/{hub.repo}/revision/{one}" for one in revisions]:
            self._send(200, json.dumps(hub.listing()).encode(), {}, body)
        elif path.startswith(f"/api/models/{hub.repo}/"):
            self._error(404, "RevisionNotFound")
        elif not path.startswith(f"/{hub.repo}/resolve/"):
            self._error(404, "RepoNotFound")
        else:
            revision, _, name = path.removeprefix(f"/{hub.repo}/resolve/").partition("/")
            if revision not in revisions:
                self._error(404, "RevisionNotFound")
            elif name not in hub.files:
                self._error(404, "EntryNotFound")
            else:
                self._file(name, int(first), body)

    def _file(self, name, first, body):
        hub = self.owner
        content, sent = hub.files[name], hub.served.get(name, hub.files[name])
        headers = {"X-Repo-Commit": hub.commit, "ETag": f'"{git_sha1(content)}"'}
        if name in LARGE:
            headers["X-Linked-ETag"] = f'"{sha256(content)}"'
            headers["X-Linked-Size"] = str(len(content))
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(sent) - 1}/{len(sent)}"
        cut = body and name in hub.cut
        hub.cut -= {name} if cut else set()
        self._send(206 if first else 200, sent[first:], headers, body, cut)

    def _error(self, status, code):
        headers = {"X-Error-Code": code, "X-Repo-Commit": self.owner.commit} if code else {}
        self._send(status, b"", headers, body=True)

    def _send(self, status, content, headers, body, cut=False):
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.wfile.flush()
            self.close_connection = True

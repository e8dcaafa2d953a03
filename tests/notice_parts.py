"""Parts of documents that the notice tests share."""

import base64

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, right").decode()
KIM = {"kim": {"address": "kim@acme.example"}}

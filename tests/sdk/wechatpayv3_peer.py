#!/usr/bin/env python3
"""An SDK that nobody here wrote, as the merchant of the simulated WeChat Pay.

PyPI's `wechatpayv3` signs with Python's `cryptography`, so it shares no code with the simulator:
where the two agree, it is evidence.

Environment:
  ZHANGFANG_WECHAT__*   as in the simulator's `wechat.env`; or
  SIMULATOR_ENV_FILE    the path of that file
  SIMULATOR_WAIT        seconds to wait for a callback, 60 unless told otherwise. Spoiled callbacks
                        take the first places of the re-send schedule: compress it.

Prints one line per step. Exits 0 if all held, 1 if not, 77 if `wechatpayv3` is not installed.
"""

import http.server
import json
import os
import queue
import sys
import threading
import time
import urllib.request
import uuid

try:
    import wechatpayv3
    import wechatpayv3.core
    from wechatpayv3 import SignType, WeChatPay, WeChatPayType
except ImportError as error:
    print(f"skip: wechatpayv3 is not importable ({error})")
    sys.exit(77)

REAL = "https://api.mch.weixin.qq.com"
SUB_MCHID = "1900000109"
WAIT = float(os.environ.get("SIMULATOR_WAIT", "60"))


def settings():
    """The simulator's settings, by their names after the prefix."""
    found = dict(os.environ)
    path = os.environ.get("SIMULATOR_ENV_FILE")
    if path:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                key, _, value = line.strip().partition("=")
                found[key] = value
    prefix = "ZHANGFANG_WECHAT__"
    return {key[len(prefix) :]: value for key, value in found.items() if key.startswith(prefix)}


SETTINGS = settings()
BASE = SETTINGS["PAY_URL"]


def secret(name):
    with open(SETTINGS[name], encoding="utf-8") as file:
        return file.read().strip()


class Redirected:
    """`requests` for the SDK, which knows no other host than WeChat's. The host is not signed."""

    def __init__(self, inner):
        self.inner = inner

    def get(self, url, **rest):
        return self.inner.get(url.replace(REAL, BASE), **rest)

    def post(self, url, **rest):
        return self.inner.post(url.replace(REAL, BASE), **rest)


wechatpayv3.core.requests = Redirected(wechatpayv3.core.requests)

FAILED = []


def step(name, good, said=""):
    print(f"{'ok  ' if good else 'FAIL'} {name}" + (f": {said}" if said and not good else ""), flush=True)
    if not good:
        FAILED.append(name)
    return good


def client(notify_url, public_key):
    """Without the public key the SDK pulls the platform certificate before it does anything."""
    mode = {"public_key": secret("PUBLIC_KEY_FILE"), "public_key_id": SETTINGS["PUBLIC_KEY_ID"]}
    return WeChatPay(
        wechatpay_type=WeChatPayType.MINIPROG,
        mchid=SETTINGS["SP_MCHID"],
        private_key=secret("PRIVATE_KEY_FILE"),
        cert_serial_no=SETTINGS["MERCHANT_SERIAL"],
        apiv3_key=secret("APIV3_KEY_FILE"),
        appid=SETTINGS["APP_ID"],
        notify_url=notify_url,
        partner_mode=True,
        timeout=(5, 10),
        **(mode if public_key else {}),
    )


class Receiver:
    """The merchant's notify_url. The SDK judges; what it does not accept is answered with 401."""

    def __init__(self):
        self.client = None
        self.heard = queue.Queue()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    told = receiver.client.callback(self.headers, body)
                except Exception as error:  # the SDK raises on a probe's or a changed body's form
                    told, why = None, repr(error)
                else:
                    why = "refused"
                receiver.heard.put((self.headers["Wechatpay-Serial"], told, why))
                self.send_response(204 if told else 401)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/notify"

    def genuine(self):
        """What came up to the first callback that the SDK accepts: how many refused, and it."""
        refused, until = 0, time.monotonic() + WAIT
        while time.monotonic() < until:
            try:
                serial, told, _ = self.heard.get(timeout=max(0.1, until - time.monotonic()))
            except queue.Empty:
                break
            if told:
                return refused, serial, told
            refused += 1
        return refused, None, None


def control(method, path, body):
    request = urllib.request.Request(
        BASE + path,
        method=method,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or "null")


def openid():
    login = (
        f"{SETTINGS['MINI_PROGRAM_URL']}/sns/jscode2session?appid={SETTINGS['APP_ID']}"
        f"&secret={secret('APP_SECRET_FILE')}&js_code=sim-python-peer&grant_type=authorization_code"
    )
    with urllib.request.urlopen(login, timeout=10) as answer:
        return json.loads(answer.read())["openid"]


def main():
    receiver = Receiver()
    payer = openid()
    step("login gives an openid of 28 characters", len(payer) == 28, payer)

    for mode in ("platform certificate", "public key"):
        public = mode == "public key"
        # A merchant of the old kind knows no public key: WeChat signs its callbacks by certificate.
        control("PUT", "/sim/faults", {"callback_key": "public_key" if public else "certificate"})
        pay = receiver.client = client(receiver.url, public)
        if not public:
            serials = [f"{c.serial_number:040X}" for c in pay._core._certificates]
            step(f"{mode}: /v3/certificates decrypts to a valid certificate", len(serials) == 1, serials)
        number = "PY-" + uuid.uuid4().hex[:24]
        order = dict(
            description="面馆 & 茶",
            out_trade_no=number,
            amount={"total": 1280, "currency": "CNY"},
            payer={"sp_openid": payer},
            attach='{"table": 4}',
            sub_mchid=SUB_MCHID,
        )
        code, body = pay.pay(**order)
        first = json.loads(body).get("prepay_id", "")
        step(f"{mode}: prepay", code == 200 and first.startswith("wx"), body)
        code, body = pay.pay(**order)
        again = json.loads(body).get("prepay_id", first)
        step(f"{mode}: the same prepay again gives a fresh id", code == 200 and again != first, body)
        code, body = pay.pay(**{**order, "amount": {"total": 1281}})
        step(f"{mode}: another amount is refused", code == 400 and "INVALID_REQUEST" in body, body)
        code, body = pay.query(out_trade_no=number, sub_mchid=SUB_MCHID)
        step(f"{mode}: query says NOTPAY", code == 200 and json.loads(body)["trade_state"] == "NOTPAY", body)

        # The request-payment signature, made by the SDK, is the client's business: the phone page
        # verifies the service's. Here it only has to be makeable.
        signed = pay.sign([SETTINGS["APP_ID"], "1", "n", "prepay_id=" + first], SignType.RSA_SHA256)
        step(f"{mode}: paySign", len(signed) == 344, signed)

        forgeries = ["tampered", "wrong_key", "probe"]
        paid = control("POST", "/sim/pay", {"prepay_id": again, "openid": payer, "faults": forgeries})
        refused, serial, told = receiver.genuine()
        step(f"{mode}: {len(forgeries)} forged callbacks are refused", refused == len(forgeries), refused)
        plain = (told or {}).get("resource", {})
        same = (
            plain.get("out_trade_no") == number
            and plain.get("transaction_id") == paid["transaction_id"]
            and plain.get("amount", {}).get("total") == 1280
            and plain.get("attach") == '{"table": 4}'
            and plain.get("sub_mchid") == SUB_MCHID
            and plain.get("payer", {}).get("sp_openid") == payer
        )
        step(f"{mode}: the genuine callback follows, verifies and decrypts", same, told)
        code, body = pay.query(transaction_id=paid["transaction_id"], sub_mchid=SUB_MCHID)
        step(f"{mode}: query by id agrees with the callback", code == 200 and json.loads(body) == plain, body)
        code, body = pay.pay(**order)
        step(f"{mode}: a paid order is refused", code != 200 and "ORDERPAID" in body, body)
        code, body = pay.close(out_trade_no=number, sub_mchid=SUB_MCHID)
        step(f"{mode}: a paid order is not closed", code != 204 and "ORDERPAID" in str(body), body)

        number = "PY-" + uuid.uuid4().hex[:24]
        pay.pay(**{**order, "out_trade_no": number})
        for time_of in ("once", "again"):
            code, body = pay.close(out_trade_no=number, sub_mchid=SUB_MCHID)
            step(f"{mode}: close {time_of}", code == 204, body)
        code, body = pay.query(out_trade_no=number, sub_mchid=SUB_MCHID)
        step(f"{mode}: query says CLOSED", code == 200 and json.loads(body)["trade_state"] == "CLOSED", body)

    # The gray switch: a merchant on the public key is still sent certificate-signed callbacks.
    control("PUT", "/sim/faults", {"callback_key": "certificate"})
    number = "PY-" + uuid.uuid4().hex[:24]
    pay.pay(**{**order, "out_trade_no": number})
    control("POST", "/sim/pay", {"out_trade_no": number, "faults": []})
    _, serial, told = receiver.genuine()
    held = bool(told) and serial != SETTINGS["PUBLIC_KEY_ID"]
    step("public key: a callback signed by the certificate verifies too", held, serial)
    control("PUT", "/sim/faults", {})

    stranger = client(receiver.url, True)
    stranger._core._cert_serial_no = "0" * 40
    code, body = stranger.query(out_trade_no=number, sub_mchid=SUB_MCHID)
    step("an unknown merchant serial is refused", code == 401 and "SIGN_ERROR" in body, body)

    version = wechatpayv3.__version__
    print(f"wechatpayv3 {version}: " + (f"{len(FAILED)} failed" if FAILED else "all held"))
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())

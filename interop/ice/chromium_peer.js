// The ICE agent of a browser as a peer that speaks the lines of `bradawl-peer ice` (DESIGN §9): this runs in
// the page, and `emit` is a binding of chromium_peer.py. What the browser is told of the other side is an
// SDP made by hand. Nobody answers its DTLS, so it reaches `connected` as an ICE agent and sends no data.

const FINGERPRINT = Array(32).fill("BA").join(":");
const STATES = { new: "new", checking: "checking", connected: "connected", completed: "connected" };

// An address that the page may not know is empty.
function at(candidate) {
  const host = candidate.address ?? "";
  return (host.includes(":") ? `[${host}]` : host) + `:${candidate.port}`;
}

class Peer {
  constructor(options) {
    this.options = options;
    this.controlling = options.role === "controlling";
    const iceServers = [];
    if (options.stun) iceServers.push({ urls: `stun:${options.stun}` });
    if (options.turn) {
      const urls = `turn:${options.turn}?transport=${options.turn_transport}`;
      iceServers.push({ urls, username: options.turn_user, credential: options.turn_pass });
    }
    this.connection = new RTCPeerConnection({ iceServers, iceTransportPolicy: options.relay_only ? "relay" : "all" });
    this.connection.onicecandidate = (event) => this.candidate(event.candidate);
    this.connection.oniceconnectionstatechange = () => this.state();
    if (this.controlling) this.connection.createDataChannel("data");
  }

  say(type, fields) {
    emit(JSON.stringify({ type, ...fields }));
  }

  // Who offers controls (RFC 8839 section 3.4.1); the other one can only answer, once it knows the offer.
  async begin(iceRestart) {
    if (!this.controlling) return;
    await this.connection.setLocalDescription(await this.connection.createOffer({ iceRestart }));
    this.local();
  }

  local() {
    const sdp = this.connection.localDescription.sdp;
    const value = (name) => sdp.match(new RegExp(`^a=${name}:(.*?)\r?$`, "m"))[1];
    const role = this.controlling ? "controlling" : "controlled";
    [this.ufrag, this.seen] = [value("ice-ufrag"), undefined];
    this.say("local", { ufrag: this.ufrag, pwd: value("ice-pwd"), role, lite: false, impl: this.options.impl });
  }

  candidate(candidate) {
    if (candidate && candidate.candidate) {
      const fields = candidate.candidate.split(" ");
      const bound = !this.options.bind.length || fields[7] !== "host" || this.options.bind.includes(fields[4]);
      if (bound && fields[2].toLowerCase() === "udp") this.say("candidate", { candidate: candidate.candidate });
    } else if (!candidate) {
      this.say("end-of-candidates", {});
    }
  }

  state() {
    const state = this.connection.iceConnectionState;
    this.say("state", { state: STATES[state] ?? state });
  }

  // After a restart the old pair stays until there is a new one, and no event says that there is.
  async selected() {
    const reports = await this.connection.getStats();
    for (const transport of reports.values()) {
      const pair = transport.type === "transport" && reports.get(transport.selectedCandidatePairId);
      if (!pair) continue;
      const [local, remote] = [pair.localCandidateId, pair.remoteCandidateId].map((id) => reports.get(id));
      const seen = [local.id, remote.id, transport.iceRole].join();
      if (seen === this.seen || local.usernameFragment !== this.ufrag) return;
      this.seen = seen;
      this.state();
      this.say("selected", { local: at(local), remote: at(remote), controlling: transport.iceRole === "controlling" });
    }
  }

  async remote(line) {
    const type = this.controlling ? "answer" : "offer";
    const sdp = [
      "v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", ...(line.lite ? ["a=ice-lite"] : []), "a=group:BUNDLE 0",
      "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=mid:0",
      `a=ice-ufrag:${line.ufrag}`, `a=ice-pwd:${line.pwd}`, "a=ice-options:trickle",
      // So that the browser is the client of DTLS, and its hello is the data that shows that the path is open.
      `a=fingerprint:sha-256 ${FINGERPRINT}`, `a=setup:${this.controlling ? "passive" : "actpass"}`,
      "a=sctp-port:5000", "a=max-message-size:65536", "",
    ].join("\r\n");
    await this.connection.setRemoteDescription({ type, sdp });
    if (this.controlling) return;
    await this.connection.setLocalDescription(await this.connection.createAnswer());
    this.local();
  }

  async use(line) {
    switch (line.type) {
      case "remote":
        return this.remote(line);
      case "candidate":
        return this.connection.addIceCandidate({ candidate: line.candidate, sdpMid: "0", sdpMLineIndex: 0 });
      case "end-of-candidates":
        return this.connection.addIceCandidate({ candidate: "", sdpMid: "0", sdpMLineIndex: 0 });
      case "begin":
        return this.begin(false);
      case "restart":
        return this.begin(true);
      default:
        throw new Error(`no line is called ${line.type} here`);
    }
  }

  // One line after the other, as they come.
  take(line) {
    const done = (this.last ?? Promise.resolve()).then(() => this.use(line));
    this.last = done.catch((error) => this.say("error", { message: String(error) }));
  }
}

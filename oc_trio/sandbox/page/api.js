// The sandbox's public REST and websocket API, as any Mattermost client would call it.

export class Api {
  constructor() { this.token = sessionStorage.getItem("token") || ""; }

  async call(method, path, body) {
    const headers = { Authorization: `Bearer ${this.token}` };
    const isForm = body instanceof FormData;
    if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
    const response = await fetch(`/api/v4${path}`, {
      method, headers, body: body === undefined || isForm ? body : JSON.stringify(body),
    });
    const text = await response.text();
    const json = text ? JSON.parse(text) : null;
    if (!response.ok) throw new Error(json?.message || `${response.status}`);
    return { json, headers: response.headers };
  }

  get(path) { return this.call("GET", path).then((answer) => answer.json); }
  post(path, body) { return this.call("POST", path, body).then((answer) => answer.json); }
  delete(path) { return this.call("DELETE", path).then((answer) => answer.json); }

  async login(user, password) {
    const { json, headers } = await this.call("POST", "/users/login", { login_id: user, password });
    this.token = headers.get("Token");
    sessionStorage.setItem("token", this.token);
    return json;
  }

  logout() { sessionStorage.removeItem("token"); this.token = ""; }

  // Events for as long as the page lives; dials again after a loss and then asks the caller to reload.
  listen(onEvent, onState) {
    const dial = () => {
      const socket = new WebSocket(`${location.origin.replace("http", "ws")}/api/v4/websocket`);
      let seq = 0;
      this.socket = socket;
      this.act = (action, data) => socket.readyState === 1 && socket.send(JSON.stringify({ seq: ++seq, action, data }));
      socket.onopen = () => this.act("authentication_challenge", { token: this.token });
      socket.onmessage = (message) => {
        const frame = JSON.parse(message.data);
        if (frame.event === "hello") onState(true);
        else if (frame.event) onEvent(frame);
      };
      socket.onclose = () => { onState(false); if (this.token) setTimeout(dial, 1000); };
    };
    dial();
  }
}

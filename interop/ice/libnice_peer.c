/* The ICE agent of libnice as a peer that speaks the lines of `bradawl-peer ice` (DESIGN §9). */

#include <gio/gio.h>
#include <gio/gunixinputstream.h>
#include <json-glib/json-glib.h>
#include <nice/agent.h>
#include <nice/debug.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Set by the build to what the package manager calls it. */
#ifndef VERSION
#define VERSION "0.1"
#endif
#define COMPONENT 1

typedef struct {
    NiceAgent *agent;
    guint stream;
    GMainLoop *loop;
    GDataInputStream *lines;
} Peer;

static gchar *role, *stun, *turn, *turn_user, *turn_pass, *turn_transport;
static gchar **binds;
static gboolean relay_only, echo, lite, aggressive;

static GOptionEntry flags[] = {
    {"role", 0, 0, G_OPTION_ARG_STRING, &role, "controlling or controlled", "ROLE"},
    {"stun", 0, 0, G_OPTION_ARG_STRING, &stun, "a STUN server", "A:P"},
    {"turn", 0, 0, G_OPTION_ARG_STRING, &turn, "a TURN server", "A:P"},
    {"turn-user", 0, 0, G_OPTION_ARG_STRING, &turn_user, "its user", "U"},
    {"turn-pass", 0, 0, G_OPTION_ARG_STRING, &turn_pass, "its password", "S"},
    {"turn-transport", 0, 0, G_OPTION_ARG_STRING, &turn_transport, "udp or tcp", "T"},
    {"relay-only", 0, 0, G_OPTION_ARG_NONE, &relay_only, "only relayed candidates", NULL},
    {"bind", 0, 0, G_OPTION_ARG_STRING_ARRAY, &binds, "only this address", "IP"},
    {"echo", 0, 0, G_OPTION_ARG_NONE, &echo, "send back what arrives", NULL},
    {"lite", 0, 0, G_OPTION_ARG_NONE, &lite, "an agent that only answers", NULL},
    {"aggressive", 0, 0, G_OPTION_ARG_NONE, &aggressive, "nominate every pair", NULL},
    {NULL},
};

/* Prints a line: the names and strings of its fields, ended by NULL, and at most one boolean. */
static void emit(const gchar *flag, gboolean value, ...) {
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    va_list fields;
    va_start(fields, value);
    for (const gchar *name; (name = va_arg(fields, const gchar *));) {
        json_builder_set_member_name(builder, name);
        json_builder_add_string_value(builder, va_arg(fields, const gchar *));
    }
    va_end(fields);
    if (flag) {
        json_builder_set_member_name(builder, flag);
        json_builder_add_boolean_value(builder, value);
    }
    json_builder_end_object(builder);
    g_autoptr(JsonNode) node = json_builder_get_root(builder);
    g_autofree gchar *text = json_to_string(node, FALSE);
    printf("%s\n", text);
    fflush(stdout);
}

static void complain(const gchar *why) { emit(NULL, FALSE, "type", "error", "message", why, NULL); }

/* After a role conflict the property of libnice says what it was before; only its log says what it is. */
static gboolean controlling;

static void on_log(const gchar *domain, GLogLevelFlags level, const gchar *text, gpointer data) {
    (void)domain, (void)level, (void)data;
    const gchar *change = strstr(text, "Role conflict, changing agent role to \"");
    if (change) controlling = strstr(change, "\"controlling\"") != NULL;
}

static void emit_candidate(Peer *peer, NiceCandidate *candidate) {
    g_autofree gchar *sdp = nice_agent_generate_local_candidate_sdp(peer->agent, candidate);
    emit(NULL, FALSE, "type", "candidate", "candidate", sdp + strlen("a="), NULL);
}

static void emit_local(Peer *peer) {
    g_autofree gchar *ufrag = NULL, *pwd = NULL;
    nice_agent_get_local_credentials(peer->agent, peer->stream, &ufrag, &pwd);
    emit("lite", lite, "type", "local", "ufrag", ufrag, "pwd", pwd, "role",
         controlling ? "controlling" : "controlled", "impl", "libnice " VERSION, NULL);
}

static gchar *at(NiceAddress *address) {
    gchar host[NICE_ADDRESS_STRING_LEN];
    nice_address_to_string(address, host);
    gboolean v6 = nice_address_ip_version(address) == 6;
    return g_strdup_printf(v6 ? "[%s]:%u" : "%s:%u", host, nice_address_get_port(address));
}

static void emit_selected(Peer *peer) {
    NiceCandidate *local, *remote;
    if (!nice_agent_get_selected_pair(peer->agent, peer->stream, COMPONENT, &local, &remote)) return;
    g_autofree gchar *from = at(&local->base_addr), *to = at(&remote->addr);
    emit("controlling", controlling, "type", "selected", "local", from, "remote", to, NULL);
}

static void on_candidate(NiceAgent *agent, NiceCandidate *candidate, Peer *peer) {
    (void)agent;
    emit_candidate(peer, candidate);
}

static void on_gathered(NiceAgent *agent, guint stream, Peer *peer) {
    (void)agent, (void)stream, (void)peer;
    emit(NULL, FALSE, "type", "end-of-candidates", NULL);
}

static void on_state(NiceAgent *agent, guint stream, guint component, guint state, Peer *peer) {
    (void)agent, (void)stream, (void)component;
    /* It says CONNECTED when a check has passed and READY when a pair is nominated. */
    static const gchar *names[] = {"disconnected", "gathering", "checking", "checking", "connected", "failed"};
    emit(NULL, FALSE, "type", "state", "state", names[state], NULL);
    if (state == NICE_COMPONENT_STATE_READY) emit_selected(peer);
}

static void on_pair(NiceAgent *agent, guint stream, guint component, NiceCandidate *local, NiceCandidate *remote,
                    Peer *peer) {
    (void)local, (void)remote;
    if (nice_agent_get_component_state(agent, stream, component) == NICE_COMPONENT_STATE_READY) emit_selected(peer);
}

static void on_data(NiceAgent *agent, guint stream, guint component, guint size, gchar *data, gpointer peer) {
    (void)peer;
    g_autofree gchar *text = g_base64_encode((const guchar *)data, size);
    emit(NULL, FALSE, "type", "recv", "data", text, NULL);
    if (echo) nice_agent_send(agent, stream, component, size, data);
}

static void add_remote(Peer *peer, const gchar *text) {
    g_autofree gchar *sdp = g_strconcat("a=", text, NULL);
    NiceCandidate *candidate = nice_agent_parse_remote_candidate_sdp(peer->agent, peer->stream, sdp);
    if (!candidate) {
        complain("a candidate that libnice cannot read");
        return;
    }
    /* Other components have no place here. */
    if (candidate->component_id == COMPONENT) {
        GSList *one = g_slist_prepend(NULL, candidate);
        if (nice_agent_set_remote_candidates(peer->agent, peer->stream, COMPONENT, one) < 0)
            complain("libnice does not take the candidate");
        g_slist_free(one);
    }
    nice_candidate_free(candidate);
}

static void send_data(Peer *peer, const gchar *text) {
    gsize size;
    g_autofree guchar *data = g_base64_decode(text, &size);
    if (nice_agent_send(peer->agent, peer->stream, COMPONENT, size, (gchar *)data) < 0) complain("libnice does not send");
}

static void restart(Peer *peer) {
    if (!nice_agent_restart(peer->agent)) {
        complain("libnice does not restart");
        return;
    }
    /* The sockets stay, so the candidates are the same. */
    emit_local(peer);
    GSList *all = nice_agent_get_local_candidates(peer->agent, peer->stream, COMPONENT);
    for (GSList *one = all; one; one = one->next) emit_candidate(peer, one->data);
    g_slist_free_full(all, (GDestroyNotify)nice_candidate_free);
    emit(NULL, FALSE, "type", "end-of-candidates", NULL);
}

static const gchar *text_of(JsonObject *line, const gchar *name) {
    JsonNode *node = json_object_get_member(line, name);
    return node && json_node_get_value_type(node) == G_TYPE_STRING ? json_node_get_string(node) : NULL;
}

/* Does what a line says. */
static void use(Peer *peer, JsonObject *line) {
    const gchar *type = text_of(line, "type"), *candidate = text_of(line, "candidate"), *data = text_of(line, "data");
    const gchar *ufrag = text_of(line, "ufrag"), *pwd = text_of(line, "pwd");
    if (!g_strcmp0(type, "remote") && ufrag && pwd)
        nice_agent_set_remote_credentials(peer->agent, peer->stream, ufrag, pwd);
    else if (!g_strcmp0(type, "candidate") && candidate)
        add_remote(peer, candidate);
    else if (!g_strcmp0(type, "end-of-candidates"))
        nice_agent_peer_candidate_gathering_done(peer->agent, peer->stream);
    else if (!g_strcmp0(type, "send") && data)
        send_data(peer, data);
    else if (!g_strcmp0(type, "restart"))
        restart(peer);
    else if (!g_strcmp0(type, "close"))
        g_main_loop_quit(peer->loop);
    else
        complain("not a line that can be used");
}

static void on_line(GObject *source, GAsyncResult *result, gpointer data) {
    Peer *peer = data;
    g_autofree gchar *text = g_data_input_stream_read_line_finish(G_DATA_INPUT_STREAM(source), result, NULL, NULL);
    if (!text) {
        g_main_loop_quit(peer->loop);
        return;
    }
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonNode *root = json_parser_load_from_data(parser, text, -1, NULL) ? json_parser_get_root(parser) : NULL;
    if (root && JSON_NODE_HOLDS_OBJECT(root))
        use(peer, json_node_get_object(root));
    else
        complain("not a JSON object");
    g_data_input_stream_read_line_async(peer->lines, G_PRIORITY_DEFAULT, NULL, on_line, peer);
}

/* Takes `[host]:port` or `host:port` apart. */
static gchar *split(const gchar *text, guint *port) {
    const gchar *colon = strrchr(text, ':');
    *port = colon ? atoi(colon + 1) : 3478;
    gchar *host = colon ? g_strndup(text, colon - text) : g_strdup(text);
    if (*host != '[') return host;
    memmove(host, host + 1, strlen(host));
    host[strlen(host) - 1] = 0;
    return host;
}

static void configure(Peer *peer) {
    NiceAgent *agent = peer->agent;
    g_object_set(agent, "upnp", FALSE, "ice-tcp", FALSE, "controlling-mode", controlling, "force-relay", relay_only, NULL);
    guint port;
    if (stun) {
        g_autofree gchar *host = split(stun, &port);
        g_object_set(agent, "stun-server", host, "stun-server-port", port, NULL);
    }
    for (gchar **bind = binds; bind && *bind; bind++) {
        NiceAddress address;
        nice_address_init(&address);
        if (nice_address_set_from_string(&address, *bind)) nice_agent_add_local_address(agent, &address);
    }
    peer->stream = nice_agent_add_stream(agent, 1);
    /* Without a name libnice writes no SDP. */
    nice_agent_set_stream_name(agent, peer->stream, "application");
    if (turn) {
        g_autofree gchar *host = split(turn, &port);
        gboolean tcp = turn_transport && !strcmp(turn_transport, "tcp");
        nice_agent_set_relay_info(agent, peer->stream, COMPONENT, host, port, turn_user, turn_pass,
                                  tcp ? NICE_RELAY_TYPE_TURN_TCP : NICE_RELAY_TYPE_TURN_UDP);
    }
    g_signal_connect(agent, "new-candidate-full", G_CALLBACK(on_candidate), peer);
    g_signal_connect(agent, "candidate-gathering-done", G_CALLBACK(on_gathered), peer);
    g_signal_connect(agent, "component-state-changed", G_CALLBACK(on_state), peer);
    g_signal_connect(agent, "new-selected-pair-full", G_CALLBACK(on_pair), peer);
}

int main(int argc, char **argv) {
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    g_option_context_add_main_entries(context, flags, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) ||
        (g_strcmp0(role, "controlling") && g_strcmp0(role, "controlled"))) {
        fprintf(stderr, "libnice_peer: %s\n", error ? error->message : "--role is controlling or controlled");
        return 2;
    }
    controlling = !strcmp(role, "controlling");
    nice_debug_enable(FALSE);
    g_log_set_handler("libnice", G_LOG_LEVEL_DEBUG, on_log, NULL);
    Peer peer = {.loop = g_main_loop_new(NULL, FALSE)};
    NiceAgentOption options = NICE_AGENT_OPTION_ICE_TRICKLE | NICE_AGENT_OPTION_CONSENT_FRESHNESS;
    if (!aggressive) options |= NICE_AGENT_OPTION_REGULAR_NOMINATION;
    if (lite) options |= NICE_AGENT_OPTION_LITE_MODE;
    peer.agent = nice_agent_new_full(NULL, NICE_COMPATIBILITY_RFC5245, options);
    configure(&peer);
    emit_local(&peer);
    nice_agent_attach_recv(peer.agent, peer.stream, COMPONENT, NULL, on_data, &peer);
    if (!nice_agent_gather_candidates(peer.agent, peer.stream)) complain("libnice gathers nothing");
    g_autoptr(GInputStream) input = g_unix_input_stream_new(STDIN_FILENO, FALSE);
    peer.lines = g_data_input_stream_new(input);
    g_data_input_stream_read_line_async(peer.lines, G_PRIORITY_DEFAULT, NULL, on_line, &peer);
    g_main_loop_run(peer.loop);
    g_object_unref(peer.lines);
    g_object_unref(peer.agent);
    return 0;
}

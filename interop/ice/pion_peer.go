// The ICE agent of pion as a peer that speaks the lines of `bradawl-peer ice` (DESIGN §9).
//
// It knows no role conflict: it drops the checks of an agent that claims its own role.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/pion/ice/v2"
	"github.com/pion/logging"
)

// Set by the build to what the package manager calls it.
var version = "v2"

const maxLine = 1 << 20

type line struct {
	Type      string `json:"type"`
	Ufrag     string `json:"ufrag"`
	Pwd       string `json:"pwd"`
	Candidate string `json:"candidate"`
	Data      []byte `json:"data"`
}

type object map[string]interface{}

var printing sync.Mutex

func emit(kind string, fields object) {
	fields["type"] = kind
	text, _ := json.Marshal(fields)
	printing.Lock()
	defer printing.Unlock()
	fmt.Printf("%s\n", text)
}

type peer struct {
	agent       *ice.Agent
	controlling bool
	lite, echo  bool
	started     bool
	connected   chan struct{}
	conn        *ice.Conn
}

func (p *peer) announce() error {
	ufrag, pwd, err := p.agent.GetLocalUserCredentials()
	if err != nil {
		return err
	}
	role := map[bool]string{true: "controlling", false: "controlled"}[p.controlling]
	emit("local", object{"ufrag": ufrag, "pwd": pwd, "role": role, "lite": p.lite, "impl": "pion/ice " + version})
	return p.agent.GatherCandidates()
}

func (p *peer) connect(ufrag, pwd string) {
	join := p.agent.Accept
	if p.controlling {
		join = p.agent.Dial
	}
	conn, err := join(context.Background(), ufrag, pwd)
	if err != nil {
		emit("error", object{"message": err.Error()})
		return
	}
	p.conn = conn
	close(p.connected)
	buffer := make([]byte, 65536)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		emit("recv", object{"data": buffer[:n]})
		if p.echo {
			_, _ = conn.Write(buffer[:n])
		}
	}
}

func (p *peer) use(in line) error {
	switch in.Type {
	case "remote":
		if p.started {
			return p.agent.SetRemoteCredentials(in.Ufrag, in.Pwd)
		}
		if in.Ufrag == "" || in.Pwd == "" {
			return errors.New("`remote` needs `ufrag` and `pwd`")
		}
		p.started = true
		go p.connect(in.Ufrag, in.Pwd)
		return nil
	case "candidate":
		candidate, err := ice.UnmarshalCandidate(strings.TrimPrefix(in.Candidate, "candidate:"))
		if err != nil {
			return err
		}
		return p.agent.AddRemoteCandidate(candidate)
	case "end-of-candidates":
		return nil // it has no use for that
	case "send":
		select {
		case <-p.connected:
			_, err := p.conn.Write(in.Data)
			return err
		default:
			return errors.New("there is no pair yet")
		}
	case "restart":
		if err := p.agent.Restart("", ""); err != nil {
			return err
		}
		return p.announce()
	}
	return fmt.Errorf("no line is called %q", in.Type)
}

func (p *peer) listen() error {
	err := p.agent.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			emit("end-of-candidates", object{})
			return
		}
		emit("candidate", object{"candidate": "candidate:" + c.Marshal()})
	})
	if err != nil {
		return err
	}
	err = p.agent.OnConnectionStateChange(func(state ice.ConnectionState) {
		emit("state", object{"state": strings.ToLower(state.String())})
	})
	if err != nil {
		return err
	}
	return p.agent.OnSelectedCandidatePairChange(func(local, remote ice.Candidate) {
		emit("selected", object{"local": at(base(local)), "remote": at(remote.Address(), remote.Port()), "controlling": p.controlling})
	})
}

// Where a candidate sends from.
func base(c ice.Candidate) (string, int) {
	related := c.RelatedAddress()
	if related == nil || c.Type() != ice.CandidateTypeServerReflexive {
		return c.Address(), c.Port()
	}
	return related.Address, related.Port
}

func at(host string, port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) }

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "pion_peer:", err)
		os.Exit(2)
	}
}

func main() {
	role := flag.String("role", "", "controlling or controlled")
	stun := flag.String("stun", "", "a STUN server")
	turn := flag.String("turn", "", "a TURN server")
	user := flag.String("turn-user", "", "its user")
	pass := flag.String("turn-pass", "", "its password")
	transport := flag.String("turn-transport", "udp", "udp or tcp")
	relay := flag.Bool("relay-only", false, "only relayed candidates")
	echo := flag.Bool("echo", false, "send back what arrives")
	lite := flag.Bool("lite", false, "an agent that only answers")
	binds := map[string]bool{}
	flag.Func("bind", "only this address", func(text string) error { binds[text] = true; return nil })
	flag.Parse()
	if *role != "controlling" && *role != "controlled" || *lite && *role == "controlling" {
		must(errors.New("--role is controlling or controlled, and a lite agent is controlled"))
	}

	// What it logs goes to stdout unless it is told otherwise.
	logs := logging.NewDefaultLoggerFactory()
	logs.Writer = os.Stderr
	config := &ice.AgentConfig{
		NetworkTypes:    []ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6},
		LoggerFactory:   logs,
		Lite:            *lite,
		IncludeLoopback: len(binds) > 0,
	}
	if len(binds) > 0 {
		config.IPFilter = func(ip net.IP) bool { return binds[ip.String()] }
	}
	if *lite {
		config.CandidateTypes = []ice.CandidateType{ice.CandidateTypeHost}
	}
	if *relay {
		config.CandidateTypes = []ice.CandidateType{ice.CandidateTypeRelay}
	}
	if *stun != "" && !*lite && !*relay {
		url, err := ice.ParseURL("stun:" + *stun)
		must(err)
		config.Urls = append(config.Urls, url)
	}
	if *turn != "" && !*lite {
		url, err := ice.ParseURL("turn:" + *turn + "?transport=" + *transport)
		must(err)
		url.Username, url.Password = *user, *pass
		config.Urls = append(config.Urls, url)
	}
	agent, err := ice.NewAgent(config)
	must(err)
	p := &peer{agent: agent, controlling: *role == "controlling", lite: *lite, echo: *echo, connected: make(chan struct{})}
	must(p.listen())
	must(p.announce())

	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	for lines.Scan() {
		var in line
		err := json.Unmarshal(lines.Bytes(), &in)
		if err == nil && in.Type == "close" {
			break
		}
		if err == nil {
			err = p.use(in)
		}
		if err != nil {
			emit("error", object{"message": err.Error()})
		}
	}
	_ = agent.Close()
}

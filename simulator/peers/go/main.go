// Conversations of go-routeros with one device of a fleet.
//
// Reads one JSON object from standard input: address, port, tls, username, password, name and whether
// the device says !empty. Prints one line for each conversation held; any other end is a failure.
package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/go-routeros/routeros/v3"
	"github.com/go-routeros/routeros/v3/proto"
)

type device struct {
	Address   string `json:"address"`
	Port      int    `json:"port"`
	TLS       bool   `json:"tls"`
	Username  string `json:"username"`
	Password  string `json:"password"`
	Name      string `json:"name"`
	SaysEmpty bool   `json:"says_empty"`
}

func fail(what string, cause any) {
	fmt.Fprintf(os.Stderr, "go-routeros: %s: %v\n", what, cause)
	os.Exit(1)
}

func expect(held bool, what string, found any) {
	if !held {
		fail(what, found)
	}
	fmt.Println("ok", what)
}

func dial(d device, password string) (*routeros.Client, error) {
	address := net.JoinHostPort(d.Address, strconv.Itoa(d.Port))
	if d.TLS {
		// Routers sign their own certificates.
		return routeros.DialTLS(address, d.Username, password, &tls.Config{InsecureSkipVerify: true})
	}
	return routeros.Dial(address, d.Username, password)
}

func run(c *routeros.Client, words ...string) *routeros.Reply {
	reply, err := c.Run(words...)
	if err != nil {
		fail(strings.Join(words, " "), err)
	}
	return reply
}

// As run, beside a listener. There the library's Run waits for an answer only after it has sent the command, and loses what comes
// sooner; Listen waits first.
func runBeside(c *routeros.Client, words ...string) []*proto.Sentence {
	reply, err := c.Listen(words...)
	if err != nil {
		fail(strings.Join(words, " "), err)
	}
	var rows []*proto.Sentence
	for row := range reply.Chan() {
		rows = append(rows, row)
	}
	if reply.Err() != nil {
		fail(strings.Join(words, " "), reply.Err())
	}
	return rows
}

func refused(c *routeros.Client, words ...string) (category, message string) {
	_, err := c.Run(words...)
	var trap *routeros.DeviceError
	if !errors.As(err, &trap) {
		fail("not refused: "+strings.Join(words, " "), err)
	}
	return trap.Sentence.Map["category"], trap.Sentence.Map["message"]
}

func queries(c *routeros.Client, d device) {
	identity := run(c, "/system/identity/print")
	expect(identity.Re[0].Map["name"] == d.Name, "print of one row", identity)
	every := run(c, "/interface/print")
	expect(len(every.Re) > 2, "print of a table", every)
	names := run(c, "/interface/print", "=.proplist=name")
	expect(len(names.Re) == len(every.Re) && len(names.Re[0].List) == 1, "a proplist", names)
	bridges := run(c, "/interface/print", "?type=bridge")
	expect(len(bridges.Re) == 1, "a query", bridges)
	either := run(c, "/interface/print", "?type=bridge", "?type=ether", "?#|")
	expect(len(either.Re) > 1 && len(either.Re) < len(every.Re)+1, "a query with an operation", either)
	named := run(c, "/interface/print", "?name", "?-no-such-property", "?>mtu=1000")
	expect(len(named.Re) > 0, "queries for presence, absence and order", named)
	count := run(c, "/interface/print", "=count-only=")
	expect(count.Done.Map["ret"] == strconv.Itoa(len(every.Re)), "a count", count)
}

func writes(c *routeros.Client) {
	added := run(c, "/ip/address/add", "=address=192.0.2.1/24", "=interface=ether1", "=comment=a peer's")
	id := added.Done.Map["ret"]
	expect(strings.HasPrefix(id, "*"), "add gives an id", added)
	mine := run(c, "/ip/address/print", "?.id="+id)
	expect(len(mine.Re) == 1 && mine.Re[0].Map["network"] == "192.0.2.0", "what was added is there", mine)
	run(c, "/ip/address/set", "=.id="+id, "=comment=changed", "=disabled=yes")
	mine = run(c, "/ip/address/print", "?.id="+id)
	changed := mine.Re[0].Map["comment"] == "changed" && mine.Re[0].Map["disabled"] == "true"
	expect(changed, "set changes it", mine)
	run(c, "/ip/address/remove", "=.id="+id)
	gone := run(c, "/ip/address/print", "?.id="+id)
	expect(len(gone.Re) == 0, "remove takes it away", gone)
}

func traps(c *routeros.Client, d device) {
	category, message := refused(c, "/ip/address/remove", "=.id=*FFFFFF")
	expect(category == "0" && message == "no such item", "a trap for an item that is not there", message)
	category, message = refused(c, "/ip/address/add", "=address=192.0.2.1/24", "=interface=asdf")
	value := category == "1" && message == "input does not match any value of interface"
	expect(value, "a trap for a value", message)
	_, message = refused(c, "/no/such/menu/print")
	expect(strings.HasPrefix(message, "no such command"), "a trap for a menu", message)
	what := "an empty table"
	if d.SaysEmpty {
		what += " with !empty"
	}
	empty := run(c, "/ip/firewall/filter/print")
	expect(len(empty.Re) == 0, what, empty)
	_, err := dial(d, "guess")
	wrong := err != nil && strings.Contains(err.Error(), "invalid user name or password")
	expect(wrong, "a wrong password is refused", err)
}

func listens(c *routeros.Client, d device) {
	listener, err := dial(d, d.Password)
	if err != nil {
		fail("a second session", err)
	}
	defer listener.Close()
	listener.Async()
	listening, err := listener.Listen("/ip/address/listen")
	if err != nil {
		fail("listen", err)
	}
	answered := runBeside(listener, "/system/identity/print")
	expect(len(answered) == 1, "an answer while a listener goes on", answered)
	id := run(c, "/ip/address/add", "=address=198.51.100.1/24", "=interface=ether1").Done.Map["ret"]
	heard := <-listening.Chan()
	expect(heard.Map[".id"] == id, "a listener hears of it", heard)
	run(c, "/ip/address/remove", "=.id="+id)
	heard = <-listening.Chan()
	expect(heard.Map[".dead"] == "true", "a listener hears that it is gone", heard)
	// Of all that goes on; the tags are the library's own.
	runBeside(listener, "/cancel")
	for range listening.Chan() {
	}
	expect(listening.Err() == nil, "a listener is cancelled", listening.Err())
	again := runBeside(listener, "/system/identity/print")
	expect(len(again) == 1, "the session goes on", again)
}

func main() {
	var d device
	if err := json.NewDecoder(os.Stdin).Decode(&d); err != nil {
		fail("standard input", err)
	}
	c, err := dial(d, d.Password)
	if err != nil {
		fail("login", err)
	}
	defer c.Close()
	queries(c, d)
	writes(c)
	traps(c, d)
	listens(c, d)
}

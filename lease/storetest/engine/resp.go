package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// patience is how long one answer may take.
const patience = 2 * time.Second

// ask sends commands over a connection of their own, without TLS, and returns the last
// reply; the first that is an error ends it.
func ask(addr string, commands ...[]string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return "", err
	}
	return askOver(conn, commands)
}

// ask is the same of this server, as it wants to be spoken to.
func (s *Server) ask(commands ...[]string) (string, error) {
	conn, err := s.tls.dial(s.Addr)
	if err != nil {
		return "", err
	}
	return askOver(conn, commands)
}

func askOver(conn net.Conn, commands [][]string) (string, error) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	in, reply := bufio.NewReader(conn), ""
	for _, c := range commands {
		if _, err := io.WriteString(conn, encode(c)); err != nil {
			return "", err
		}
		var err error
		if reply, err = readReply(in); err != nil {
			return "", fmt.Errorf("%s: %w", c[0], err)
		}
	}
	return reply, nil
}

func encode(command []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(command))
	for _, arg := range command {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return b.String()
}

// readReply knows simple strings, errors, numbers and bulk strings.
func readReply(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	line = strings.TrimSuffix(line, "\r\n")
	switch {
	case err != nil:
		return "", err
	case strings.HasPrefix(line, "+"), strings.HasPrefix(line, ":"):
		return line[1:], nil
	case strings.HasPrefix(line, "-"):
		return "", errors.New(line[1:])
	case !strings.HasPrefix(line, "$"):
		return "", fmt.Errorf("not a reply to this: %q", line)
	}
	size, err := strconv.Atoi(line[1:])
	if err != nil || size < 0 {
		return "", fmt.Errorf("not a bulk string: %q", line)
	}
	bulk := make([]byte, size+len("\r\n"))
	if _, err := io.ReadFull(in, bulk); err != nil {
		return "", err
	}
	return string(bulk[:size]), nil
}

//go:build linux

package main

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

// resp asks a Redis about itself. It is a connection of its own, and not the store's:
// what is asked here is never measured.
type resp struct {
	net.Conn
	r *bufio.Reader
}

func dialRedis(addr string) (*resp, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &resp{c, bufio.NewReader(c)}, nil
}

// respPatience is how long an answer may take: a server that is busy with steps is slow.
const respPatience = 10 * time.Second

// do sends a command. The answer is a string, an int64, a []any of these, or nil.
func (c *resp) do(words ...string) (any, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	_ = c.SetDeadline(time.Now().Add(respPatience))
	_, err := io.WriteString(c, b.String())
	if err != nil {
		return nil, err
	}
	got, err := readResp(c.r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(words, " "), err)
	}
	return got, nil
}

func (c *resp) text(words ...string) (string, error) {
	got, err := c.do(words...)
	s, ok := got.(string)
	if err == nil && !ok {
		err = fmt.Errorf("%s: the answer is no text: %v", strings.Join(words, " "), got)
	}
	return s, err
}

func readResp(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return nil, errors.New("an empty line where an answer begins")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, errors.New(rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	switch {
	case err != nil:
		return nil, err
	case kind == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case kind == '$':
		text := make([]byte, n+2)
		_, err := io.ReadFull(r, text)
		return string(text[:n]), err
	case kind == '*':
		list := make([]any, n)
		for i := range list {
			if list[i], err = readResp(r); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return nil, fmt.Errorf("an answer that begins with %q", line)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// listen makes the socket, mode 0660, for the group. A socket that somebody
// still listens on is an error; one that was left behind is replaced.
func listen(ctx context.Context, path, group string) (net.Listener, error) {
	gid := -1
	if group != "" {
		var err error
		if gid, err = groupID(group); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the socket's folder: %w", err)
	}
	if conn, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
		_ = conn.Close() // it has served its purpose
		return nil, fmt.Errorf("listening on %s: another program does", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("listening on %s: there is something that is no socket; move it away or choose another --listen", path)
	}
	// In a folder of its own until its rights are set: nobody connects before.
	private, err := os.MkdirTemp(filepath.Dir(path), ".socket-")
	if err != nil {
		return nil, fmt.Errorf("making the socket: %w", err)
	}
	defer os.RemoveAll(private)
	early := filepath.Join(private, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: early, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("making the socket: %w", err)
	}
	listener.SetUnlinkOnClose(false) // its name changes now
	err = os.Chmod(early, 0o660)
	if err == nil && gid >= 0 {
		err = os.Chown(early, -1, gid)
	}
	if err == nil {
		err = os.Rename(early, path)
	}
	if err != nil {
		return nil, fmt.Errorf("making the socket: %w", errors.Join(err, listener.Close()))
	}
	return listener, nil
}

func groupID(group string) (int, error) {
	if id, err := strconv.Atoi(group); err == nil && id >= 0 {
		return id, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("--group: %w", err)
	}
	return strconv.Atoi(g.Gid)
}

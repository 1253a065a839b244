// tests/faults/child.hpp — a piece of a test in a process of its own: a crash or a hang there is a finding.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <string>

namespace sparsert::test {

/// What `body` returned, or how its process ended. A body that goes on for 60 s is killed.
template <class Body>
std::string in_child(Body body) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child < 0) return "no process";
  if (child == 0) {
    close(pipe_ends[0]);
    alarm(60);
    std::string text;
    try {
      text = body();
    } catch (const std::exception& error) {
      text = std::string("an exception came out: ") + error.what();
    }
    const auto written = write(pipe_ends[1], text.data(), text.size());
    _exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(pipe_ends[1]);
  std::string text;
  char chunk[4096];
  for (ssize_t got = 0; (got = read(pipe_ends[0], chunk, sizeof chunk)) > 0;)
    text.append(chunk, static_cast<std::size_t>(got));
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return text + " ended by signal " + std::to_string(WTERMSIG(status));
  if (WEXITSTATUS(status) != 0) return text + " exited with code " + std::to_string(WEXITSTATUS(status));
  return text;
}

}  // namespace sparsert::test

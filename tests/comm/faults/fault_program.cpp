// SPDX-License-Identifier: Apache-2.0
// A job in which one rank misbehaves: fault_program MODE VICTIM. Started by fault_driver under
// mpirun. Without the watchdog's help most modes would hang for ever.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "comm/mesh.h"
#include "comm/watchdog.h"
#include "comm/world.h"
#include "core/error.h"

namespace {

using namespace ocoee;
using comm::Axis;
using comm::Reduce;

constexpr int kHealthySteps = 60;
constexpr int kSteps = 20000;  // two minutes: a fault that nobody notices ends in exit code 9

void pause_for(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

struct Job {
  comm::Mesh& mesh;
  std::vector<float> data = std::vector<float>(4000);
  std::vector<float> gathered = std::vector<float>(16000);

  device::Buffer part(int64_t count, DType dtype = DType::f32) {
    return {data.data(), count, dtype, {}};
  }

  void healthy_step() {
    mesh.axis(Axis::data).all_reduce(part(1000), Reduce::sum);
    mesh.loss().all_reduce(part(10), Reduce::max);
    if (mesh.world().size() > 1) {  // messages around the ring are streams of their own
      comm::Communicator& group = mesh.axis(Axis::data);
      const int next = (group.rank() + 1) % group.size(),
                previous = (group.rank() + group.size() - 1) % group.size();
      const auto sent = group.send_async(part(50), next);
      group.receive({gathered.data(), 50, DType::f32, {}}, previous);
      sent->wait({});
    }
    pause_for(0.002);
  }

  // What the victim does in place of its next step; the others go on as before.
  void misbehave(const std::string& mode) {
    comm::Communicator& group = mesh.axis(Axis::data);
    if (mode == "kind") {
      group.all_gather(part(1000), {gathered.data(), 1000 * group.size(), DType::f32, {}});
    } else if (mode == "count") {
      group.all_reduce(part(900), Reduce::sum);
    } else if (mode == "dtype") {
      group.all_reduce(part(1000, DType::i32), Reduce::sum);
    } else if (mode == "order") {  // of two axes: each is right by itself
      mesh.loss().all_reduce(part(10), Reduce::max);
      group.all_reduce(part(1000), Reduce::sum);
    } else if (mode == "root") {
      group.broadcast(part(100), group.rank());
    } else if (mode == "hang") {
      pause_for(1e6);
    } else if (mode == "throw" || mode == "unreported") {
      fail(ErrorKind::data, "the held-out file is broken");
    } else if (mode == "crash") {
      std::raise(SIGSEGV);
    } else {
      throw std::invalid_argument("no such mode: " + mode);
    }
  }
};

int run(const std::string& mode, int victim) {
  comm::World world = comm::World::start();
  std::printf("process %d %d\n", world.rank(), static_cast<int>(::getpid()));
  std::fflush(stdout);
  comm::WatchdogOptions options;
  options.collective_timeout_seconds = mode == "hang" ? 5 : 60;
  if (const char* folder = std::getenv("OCOEE_TEST_DUMP")) options.dump_folder = folder;
  const bool by_hand = mode == "kill" || mode == "stop";
  comm::Shape shape;
  shape[Axis::data] = world.size();
  comm::Mesh mesh(world, shape, {});
  Job job{mesh};
  comm::Watchdog watchdog(world, options);
  try {
    for (int step = 0; step < kSteps; ++step) {
      job.healthy_step();
      if (step != kHealthySteps) continue;
      if (mode == "clean") {
        pause_for(0.4 *
                  ((world.rank() + victim) % world.size()));  // they do not leave at the same time
        return 0;
      }
      if (mode == "all_fail") fail(ErrorKind::data, "the same file is broken for all");
      if (world.rank() == (by_hand ? 0 : victim)) {
        std::printf("now\n");
        std::fflush(stdout);
      }
      if (world.rank() != victim || by_hand) continue;
      if (mode == "leave") return 0;
      job.misbehave(mode);
    }
  } catch (const Error& error) {
    if (mode == "unreported") throw;
    watchdog.report_failure(error.what(), exit_code(error.kind()));
    std::_Exit(exit_code(error.kind()));
  }
  return 9;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 64;
  // mpirun forwards nothing for a second or two while it ends a job; a file has no such delay.
  if (const char* messages = std::getenv("FAULT_MESSAGES")) {
    const int file = ::open(messages, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ::dup2(file, STDERR_FILENO) < 0) return 71;
    ::close(file);
  }
  try {
    return run(argv[1], std::atoi(argv[2]));
  } catch (const Error& error) {
    return exit_code(error.kind());
  }
}

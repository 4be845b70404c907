// SPDX-License-Identifier: Apache-2.0
// ocoee calibrate: measures this machine and writes its profile, which `ocoee plan --machine FILE`
// reads.
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "cli/calibrate.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "core/file.h"
#include "core/host.h"
#include "core/host_load.h"
#include "core/log.h"
#include "core/trace.h"
#include "plan/training_config.h"
#include "run/run_directory.h"

namespace ocoee::cli {
namespace {

struct Options {
  std::string out = "machines/here.toml", name = "this machine", device = "auto";
  int threads = 0;
  int message_multiprocessors =
      static_cast<int>(plan::LayoutConfig().message_multiprocessors);  // as a run has it
  bool quick = false;
};

// Processors of a host that worked for others while all ranks did this; the mean over hosts.
template <class Work>
double processors_of_others(comm::Mesh& mesh, const Work& work) {
  comm::Communicator& all = mesh.world();
  const bool counts_host = mesh.axis(comm::Axis::data).rank() == 0;  // one rank of each
  const auto together = [&] { return all.all_reduce_value(counts_host, comm::Reduce::sum); };
  const auto others = [&] {
    return (counts_host ? host_busy_seconds() : 0) - process_busy_seconds();
  };
  const double hosts = together(), begin = trace::now_seconds(), before = others();
  work();
  together();
  const double elapsed = trace::now_seconds() - begin;
  const double seconds = all.all_reduce_value(others() - before, comm::Reduce::sum);
  return std::max(0.0, seconds) / elapsed / hosts;
}

int calibrate(const Options& options) {
  comm::World world = comm::World::start();
  log::set_rank(world.rank(), world.size());
  device::Device device;
  const int gpus = device::cuda_device_count();
  if (options.device == "cuda" && gpus == 0)
    fail(ErrorKind::device, "--device cuda, but {}", device::cuda_unavailable_reason());
  if (options.device != "cpu" && gpus > 0) device = {device::Kind::cuda, world.local_rank() % gpus};
  const int threads = options.threads > 0 ? options.threads : world.cores();
  Links links;
  links.hosts = hosts_of(world.hosts());
  const Hosts& hosts = links.hosts;
  // Ranks of a host along `axis`, and hosts along the axis that lies furthest apart.
  const auto mesh_of = [&](comm::Axis axis, int ranks, comm::CopyEngines copies) {
    comm::Shape shape;
    shape[axis] = ranks;
    if (axis != comm::Axis::data) shape[comm::Axis::data] = hosts.ranks / ranks;
    shape[comm::Axis::instance] = hosts.count;
    shape.message_multiprocessors = options.message_multiprocessors;
    shape.copy_engines = copies;
    return comm::Mesh(world, shape, device);
  };
  comm::Mesh mesh = mesh_of(comm::Axis::data, hosts.ranks, comm::CopyEngines::off);
  DeviceFigures figures;
  const auto say = [&](const char* what) {
    if (world.rank() == 0) std::fprintf(stderr, "measuring %s\n", what);
  };
  say("products, attention and memory");
  const double others =
      processors_of_others(mesh, [&] { figures = measure_device(device, threads, options.quick); });
  if (!device.is_cuda()) figures.memory /= world.local_size();
  say("links between ranks");
  comm::Communicator& between = mesh.axis(comm::Axis::instance);
  links.node = measure_links(mesh, mesh.axis(comm::Axis::data), options.quick);
  links.network = measure_links(mesh, between, options.quick);
  if (hosts.ranks >= 4 && hosts.ranks % 2 == 0) {
    comm::Mesh other = mesh_of(comm::Axis::tensor, 2, comm::CopyEngines::off);
    links.pairs = measure_links(other, other.axis(comm::Axis::tensor), options.quick);
  }
  const bool overlaps = device.is_cuda() && mesh.capturable();
  if (overlaps && hosts.ranks > 1) links.overlap = measure_overlap(mesh, mesh.replicas());
  if (overlaps && hosts.count > 1) links.network_overlap = measure_overlap(mesh, between);
  if (links.overlap) {
    comm::Mesh other = mesh_of(comm::Axis::tensor, hosts.ranks, comm::CopyEngines::tensor);
    comm::Communicator& group = other.axis(comm::Axis::tensor);
    if (other.world().all_reduce_value(group.has_copy_engines() ? 1 : 0, comm::Reduce::min) > 0) {
      links.copies = measure_links(other, group, options.quick);
      links.copy_loss = measure_overlap(other, group, Beside::gathers).reductions;
    }
  }
  say("the file system");
  const std::filesystem::path out = options.out;
  const std::string folder = out.has_parent_path() ? out.parent_path().string() : ".";
  std::filesystem::create_directories(folder);
  StorageFigures storage = measure_storage(mesh, folder, hosts.count);
  storage.hdf5_read = measure_hdf5_read(mesh, folder, hosts.count);
  if (world.rank() != 0) return 0;
  const std::string device_name =
      device.is_cuda()
          ? device::properties(device).name
          : fmt::format("{} thread{} of {}", threads, threads == 1 ? "" : "s",
                        run::environment(world, {}).value("cpu", std::string("a CPU")));
  const bool disturbed = others > 0.1 * hosts.ranks * threads;
  const std::string note = fmt::format(
      "{} rank{} on {}{}{}", world.size(), world.size() == 1 ? "" : "s", world.hosts()[0],
      hosts.count > 1 ? fmt::format(" and {} more", hosts.count - 1) : "",
      disturbed ? fmt::format(", beside other work on {:.1f} cores", others) : "");
  if (disturbed)
    log::warn(
        "other work took {:.1f} of a host's {} cores meanwhile, so these figures are too slow, "
        "some "
        "by far; measure again when it is over",
        others, host_cores());
  write_file_atomically(out,
                        profile_text(options.name, note, figures, links, storage, device_name));
  print_answer(fmt::format("{}\nplan with it: ocoee plan RECIPE --machine {}\n", out.string(),
                           out.string()));
  return 0;
}

}  // namespace

void add_calibrate(CLI::App& program, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand(
      "calibrate", "measure this machine, for plans; under mpirun its links too");
  verb->add_option("--out", options->out, "the profile to write")->capture_default_str();
  verb->add_option("--name", options->name, "what tables call it")->capture_default_str();
  verb->add_option("--device", options->device, "auto, cpu or cuda")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  verb->add_option("--threads", options->threads, "of a rank; 0 = its share of the cores")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--message-multiprocessors", options->message_multiprocessors,
                   "GPU: as layout.message_multiprocessors of the runs to plan")
      ->check(CLI::Range(0, 64))
      ->capture_default_str();
  verb->add_flag("--quick", options->quick,
                 "seconds, for a first look: each figure once, on operands that caches may hold");
  verb->callback([&chosen, options] { chosen = [options] { return calibrate(*options); }; });
}

}  // namespace ocoee::cli

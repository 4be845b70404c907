// SPDX-License-Identifier: Apache-2.0
#include "run/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "core/descriptor.h"
#include "core/error.h"
#include "core/file.h"
#include "core/host.h"
#include "core/log.h"
#include "core/text.h"
#include "run/checkpoint.h"
#include "run/elsewhere.h"
#include "run/recipe_identity.h"

namespace ocoee::run {
namespace {

// What ranks wrote as an earlier run failed is not mixed with what others write when this one does.
void set_flight_records_aside(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> records;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("flight-rank-")) records.push_back(entry.path());
  }
  if (records.empty()) return;
  const auto aside = folder / "flight-records-before";
  std::error_code error;
  std::filesystem::remove_all(aside, error);
  std::filesystem::create_directories(aside, error);
  for (const auto& record : records) {
    if (!error) std::filesystem::rename(record, aside / record.filename(), error);
  }
  if (error)
    log::warn("{}: flight records cannot be moved aside: {}", aside.string(), error.message());
}

std::string holder_text() {
  return fmt::format("process {} on {}", ::getpid(), host_name());
}

// A run that ended before its first step holds nothing that another recipe could harm.
bool has_begun(const std::filesystem::path& folder) {
  if (!checkpoint_steps(folder / "checkpoints").empty()) return true;
  std::error_code error;
  const auto metrics = folder / "metrics.jsonl";
  if (!std::filesystem::exists(metrics, error)) return false;
  for (const std::string& line : split(read_file(metrics), '\n')) {
    const auto entry = nlohmann::json::parse(line, nullptr, false);
    if (entry.is_object() && entry.value("kind", "") == "step") return true;
  }
  return false;
}

// Throws where the run that is there is another one than `now` says.
void require_same_run(const std::filesystem::path& folder, const std::string& there,
                      const std::string& now) {
  const std::string difference = recipe_difference(there, now);
  if (difference.empty() || !has_begun(folder)) return;
  const bool other_data = differs_in_content_only(difference);
  fail(ErrorKind::config,
       "{}: holds a run {}, so this one cannot go on from it:\n{}    fix: {}give this run "
       "another run.name, or start over with --fresh (the old one is moved aside)",
       folder.string(), other_data ? "on other data" : "with another recipe", difference,
       other_data ? "put the data back as it was, " : "");
}

[[noreturn]] void fail_in_use(const std::filesystem::path& folder, int lock) {
  char holder[256] = {};
  const ssize_t got = ::pread(lock, holder, sizeof holder - 1, 0);
  fail(ErrorKind::file,
       "{}: another run is writing there ({})\n    fix: wait for it, or give this one another "
       "run.name or run.dir",
       folder.string(), got > 0 ? std::string(trim(holder)) : "it does not say which");
}

// As far as permissions tell, and without leaving anything behind.
void require_writable(const std::filesystem::path& folder) {
  const std::filesystem::path there = nearest_existing(folder);
  std::error_code error;
  errno = std::filesystem::is_directory(there, error) ? 0 : ENOTDIR;
  if (errno != 0 || ::access(there.c_str(), W_OK | X_OK) != 0)
    fail_errno(folder, "write", kElsewhere);
}

void require_unlocked(const std::filesystem::path& folder) {
  const Descriptor lock(::open((folder / ".lock").c_str(), O_RDONLY | O_CLOEXEC));
  if (lock.open() && ::flock(lock.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    fail_in_use(folder, lock.get());
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    fail(ErrorKind::file, "{}: cannot create: {}{}", folder.string(), error.message(),
         fix_of(error.value(), kElsewhere));
}

// The lock goes with the renamed folder, so nobody comes in between.
void move_aside(const std::filesystem::path& folder, std::unique_ptr<DirectoryLock>& lock) {
  for (int n = 1;; ++n) {
    const std::filesystem::path aside = folder.string() + fmt::format(".old-{}", n);
    if (std::filesystem::exists(aside)) continue;
    std::error_code error;
    std::filesystem::rename(folder, aside, error);
    if (error)
      fail(ErrorKind::file, "{}: cannot move aside to {}: {}", folder.string(), aside.string(),
           error.message());
    log::info("the run that was there is now in {}", aside.string());
    break;
  }
  make_folder(folder / "checkpoints");
  lock = std::make_unique<DirectoryLock>(folder);
}

// A folder that no run made may hold a user's own files; --fresh would move them all. What a batch
// system writes while a job starts may lie there, and what a start that failed has left.
void require_no_strangers(const std::filesystem::path& folder) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) return;
  if (!checkpoint_steps(folder / "checkpoints").empty()) return;  // `ocoee import` makes some
  std::set<std::filesystem::path> strangers;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename(), ending = entry.path().extension();
    const bool may_be = name == ".lock" || ending == ".out" || ending == ".err" ||
                        ending == ".log" ||
                        (name == "checkpoints" && std::filesystem::is_empty(entry.path(), error));
    if (!may_be) strangers.insert(entry.path());
  }
  if (!strangers.empty())
    fail(ErrorKind::file,
         "{}: is there, and no run made this folder; a run would mix its files with others\n"
         "    fix: give the run another run.dir, which need not exist",
         strangers.begin()->string());
}

}  // namespace

DirectoryLock::DirectoryLock(const std::filesystem::path& folder) {
  const auto path = folder / ".lock";
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_errno(path, "write", kElsewhere);
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    const int code = errno;
    if (code != EWOULDBLOCK) {  // some parallel file systems have no locks
      log::warn("{}: cannot be locked ({}); make sure that no other run writes there",
                folder.string(), std::strerror(code));
      return;
    }
    const Descriptor lock(fd_);
    fail_in_use(folder, lock.get());
  }
  const std::string text = holder_text() + "\n";
  if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, text.data(), text.size(), 0) < 0)
    log::debug("{}: cannot note who holds the lock", path.string());
}

DirectoryLock::~DirectoryLock() {
  ::close(fd_);
}

std::unique_ptr<DirectoryLock> prepare_directory(const DirectoryRequest& request) {
  const std::filesystem::path& folder = request.folder;
  const auto identity = folder / "recipe.identity";
  if (!std::filesystem::exists(identity)) require_no_strangers(folder);
  make_folder(folder / "checkpoints");
  auto lock = std::make_unique<DirectoryLock>(folder);
  const std::string now = request.stable_recipe + content_lines(request.input_files);
  if (std::filesystem::exists(identity)) {
    if (request.fresh) {
      move_aside(folder, lock);
    } else {
      require_same_run(folder, read_file(identity), now);
    }
  }
  write_file_atomically(identity, now, kElsewhere);
  set_flight_records_aside(folder);
  if (checkpoint_steps(folder / "checkpoints").empty()) write_request(request);
  return lock;
}

bool is_quickly_read(const std::vector<std::string>& files) {
  constexpr uintmax_t kQuick = uintmax_t{1} << 30;
  uintmax_t bytes = 0;
  for (const std::string& file : files) {
    std::error_code error;
    const uintmax_t size = std::filesystem::file_size(file, error);
    if (!error) bytes += size;
  }
  return bytes <= kQuick;
}

std::string directory_outlook(const DirectoryRequest& request, int64_t steps) {
  const std::filesystem::path& folder = request.folder;
  const auto identity = folder / "recipe.identity";
  const bool is_ours = std::filesystem::exists(identity);
  if (!is_ours) require_no_strangers(folder);
  require_writable(folder / "checkpoints");
  require_writable(folder);
  require_unlocked(folder);
  const std::string name = "run directory: " + folder.string();
  if (is_ours && request.fresh) return name + ", whose run is moved aside for a new one";
  const bool reads_data = is_quickly_read(request.input_files);
  if (is_ours)
    require_same_run(
        folder, read_file(identity),
        request.stable_recipe + (reads_data ? content_lines(request.input_files) : ""));
  const std::vector<int64_t> saved = checkpoint_steps(folder / "checkpoints");
  if (saved.empty()) return name + ", a new run";
  if (steps > 0) require_not_beyond(folder, "step", saved.back(), steps);
  return fmt::format("{}, where the run {} step {}{}", name,
                     saved.back() == steps ? "is at its end," : "goes on from", saved.back(),
                     reads_data ? "" : " if its data is still the same");
}

void require_not_beyond(const std::filesystem::path& folder, const std::string& name,
                        int64_t position, int64_t total) {
  if (position <= total) return;
  fail(ErrorKind::config,
       "{}: this run is at {} {} already, and the recipe now ends at {}\n    fix: let it end at "
       "{} or later, or start over with --fresh (this run is moved aside)",
       folder.string(), name, position, total, position);
}

void write_request(const DirectoryRequest& request) {
  write_file_atomically(request.folder / "recipe.toml", request.recipe_toml, kElsewhere);
  write_file_atomically(request.folder / "environment.json", request.environment.dump(2) + "\n",
                        kElsewhere);
}

}  // namespace ocoee::run

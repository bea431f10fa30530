// What the system and a container say of memory, read from files of ours.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "kernels/device_memory.h"
#include "tests/fakes/temp_dir.h"

namespace glm::kernels {
namespace {

namespace fs = std::filesystem;

class HostMemory : public testing::Test {
 protected:
  void write(const fs::path& file, std::string_view text) const {
    fs::create_directories((root_.path() / file).parent_path());
    std::ofstream(root_.path() / file) << text;
  }
  DeviceMemory memory() const { return host_memory(root_.path()); }

  const fakes::TempDir root_;
};

TEST_F(HostMemory, IsWhatIsAvailable) {
  write("proc/meminfo",
        "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    600 kB\n"
        "HugePages_Total:       0\nSwapFree: 5000 kB\n");
  EXPECT_EQ(memory().total_bytes, 1000U * 1024);
  EXPECT_EQ(memory().free_bytes, 600U * 1024);
  write("sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(memory().free_bytes, 600U * 1024);
}

TEST_F(HostMemory, EndsWhereTheContainerDoes) {
  write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 600 kB\n");
  write("sys/fs/cgroup/memory.max", "409600\n");
  write("sys/fs/cgroup/memory.current", "300000\n");
  write("sys/fs/cgroup/memory.stat", "anon 100000\nfile 200000\ninactive_file 150000\n");
  EXPECT_EQ(memory().total_bytes, 409'600U);
  EXPECT_EQ(memory().free_bytes, 409'600U - 150'000U);
  write("sys/fs/cgroup/memory.current", "900000\n");
  write("sys/fs/cgroup/memory.stat", "anon 900000\n");
  EXPECT_EQ(memory().free_bytes, 0U);
}

TEST_F(HostMemory, IsZeroWhereNobodyTells) {
  EXPECT_EQ(memory().total_bytes, 0U);
  EXPECT_EQ(memory().free_bytes, 0U);
  write("proc/meminfo", "what is this\n");
  EXPECT_EQ(memory().free_bytes, 0U);
}

TEST_F(HostMemory, IsKnownHere) {
  const DeviceMemory here = host_memory();
  EXPECT_GT(here.free_bytes, 0U);
  EXPECT_LE(here.free_bytes, here.total_bytes);
}

}  // namespace
}  // namespace glm::kernels

#include "modelfiles/catalog.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include "base/paths.h"
#include "modelfiles/catalog_sizes.h"

namespace glm::modelfiles {
namespace {
namespace fs = std::filesystem;

const fs::path kShipped = fs::path(GLM_SOURCE_DIR) / "modelfiles" / "catalog";

class TempFolder {
 public:
  TempFolder() {
    std::string name = (fs::temp_directory_path() / "glm_catalog_XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TempFolder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }
  void write(const fs::path& file, std::string_view text) const {
    fs::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file) << text;
  }

 private:
  fs::path path_;
};

TEST(Catalog, ShipsModelfilesThatParse) {
  const auto catalog = Catalog::open(kShipped);
  ASSERT_TRUE(catalog.ok());
  for (const auto& [model, tags] : catalog->models()) {
    EXPECT_EQ(tags.front(), "latest") << model;
    for (const std::string& tag : tags) {
      const auto entry = catalog->find(model, tag);
      EXPECT_TRUE(entry.ok()) << entry.error().message;
    }
  }
}

struct Shipped {
  const char *model, *tag, *from;
};

void PrintTo(const Shipped& test, std::ostream* out) {
  *out << test.model << ":" << test.tag;
}

class CatalogShipped : public testing::TestWithParam<Shipped> {};

TEST_P(CatalogShipped, NamesTheRepository) {
  const auto catalog = Catalog::open(kShipped);
  ASSERT_TRUE(catalog.ok());
  const auto entry = catalog->find(GetParam().model, GetParam().tag);
  ASSERT_TRUE(entry.ok()) << entry.error().message;
  EXPECT_EQ(entry->modelfile.from, GetParam().from);
}

TEST_P(CatalogShipped, HasALayoutToBenchmarkItBy) {
  const std::string from = GetParam().from;
  const fs::path source = GLM_SOURCE_DIR;
  const std::string bundled = "bundled:";
  const fs::path config = from.starts_with(bundled)
                              ? source / "models" / from.substr(bundled.size()) / "config.json"
                              : source / "modelfiles" / "layouts" / (from + ".json");
  EXPECT_TRUE(fs::is_regular_file(config)) << config;
}

INSTANTIATE_TEST_SUITE_P(
    All, CatalogShipped,
    testing::Values(Shipped{"tiny", "", "bundled:glm-tiny"},
                    Shipped{"tiny", "latest", "bundled:glm-tiny"},
                    Shipped{"tiny", "int4", "bundled:glm-tiny-int4"},
                    Shipped{"glm-4.7-flash", "", "cyankiwi/GLM-4.7-Flash-AWQ-4bit"},
                    Shipped{"glm-4.7-flash", "awq", "cyankiwi/GLM-4.7-Flash-AWQ-4bit"},
                    Shipped{"glm-4.7-flash", "nvfp4", "GadflyII/GLM-4.7-Flash-NVFP4"},
                    Shipped{"glm-4.7-flash", "fp8", "mratsim/GLM-4.7-Flash-FP8"},
                    Shipped{"glm-4.7-flash", "bf16", "zai-org/GLM-4.7-Flash"}));

TEST(Catalog, IsFoundFromTheBuildTree) {
  const auto resources = resource_dir();
  ASSERT_TRUE(resources.ok()) << resources.error().message;
  EXPECT_TRUE(Catalog::open(*resources / "catalog")->find("tiny", "").ok());
}

TEST(Catalog, DoesNotMindCaseAndAnswersInItsOwnSpelling) {
  const auto entry = Catalog::open(kShipped)->find("GLM-4.7-FLASH", "NVFP4");
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ(entry->model, "glm-4.7-flash");
  EXPECT_EQ(entry->tag, "nvfp4");
  EXPECT_NE(entry->text.find("FROM GadflyII/GLM-4.7-Flash-NVFP4\n"), std::string::npos);
}

TEST(Catalog, SaysWhatThereIsInstead) {
  const auto catalog = Catalog::open(kShipped);
  ASSERT_TRUE(catalog.ok());
  const auto model = catalog->find("glm-4.7-flsh", "");
  EXPECT_EQ(model.error().code, Errc::not_found);
  EXPECT_EQ(model.error().message,
            "there is no model 'glm-4.7-flsh' in the catalog; did you mean 'glm-4.7-flash'?");
  EXPECT_EQ(catalog->find("llama", "").error().message,
            "there is no model 'llama' in the catalog; 'glm list --catalog' lists what it has, and "
            "a Hugging Face repository is named org/name");
  EXPECT_EQ(catalog->find("glm-4.7-flash", "q4").error().message,
            "glm-4.7-flash has no tag 'q4'; it has latest, awq, bf16, fp8, nvfp4");
}

TEST(Catalog, SuggestsWhatIsHereToo) {
  const auto catalog = Catalog::open(kShipped);
  ASSERT_TRUE(catalog.ok());
  const std::vector<std::string> here = {"mine:latest", "tinyish:v1", "org/glm-4.7-flush:latest"};
  const auto said = [&](const char* model, const char* tag) {
    return catalog->find(model, tag, here).error().message;
  };
  EXPECT_EQ(said("mien", ""), "there is no model 'mien' in the catalog; did you mean 'mine'?");
  EXPECT_EQ(said("mine", "v2"), "there is no model 'mine' in the catalog; did you mean 'mine'?");
  EXPECT_EQ(said("tinyist", "v1"),
            "there is no model 'tinyist' in the catalog; did you mean 'tinyish:v1'?");
  EXPECT_EQ(said("tinny", ""), "there is no model 'tinny' in the catalog; did you mean 'tiny'?");
  EXPECT_EQ(said("tinny", "int4"),
            "there is no model 'tinny' in the catalog; did you mean 'tiny:int4'?");
}

TEST(Catalog, NeverLeavesItsFolder) {
  const TempFolder folder;
  folder.write("secret.modelfile", "FROM secret\n");
  folder.write("catalog/m/latest.modelfile", "FROM a\n");
  const auto catalog = Catalog::open(folder.path() / "catalog");
  ASSERT_TRUE(catalog.ok());
  for (const char* tag : {"../../secret", "../../../etc/passwd", "/etc/passwd", ".", ".."}) {
    EXPECT_EQ(catalog->find("m", tag).error().code, Errc::not_found) << tag;
  }
  for (const char* model : {"..", ".", "", "/", "../catalog/m", "m/"}) {
    EXPECT_EQ(catalog->find(model, "latest").error().code, Errc::not_found) << model;
  }
}

TEST(Catalog, SuffersABrokenEntry) {
  const TempFolder folder;
  folder.write("good/latest.modelfile", "FROM a\n");
  folder.write("bad/latest.modelfile", "FORM a\n");
  folder.write("bad/.hidden.modelfile", "FROM a\n");
  folder.write("bad/notes.txt", "");
  folder.write("empty/readme", "");
  folder.write("file", "");
  const auto catalog = Catalog::open(folder.path());
  ASSERT_TRUE(catalog.ok());
  EXPECT_EQ(catalog->models(), (std::map<std::string, std::vector<std::string>>{
                                   {"bad", {"latest"}}, {"good", {"latest"}}}));
  EXPECT_TRUE(catalog->find("good", "").ok());
  EXPECT_EQ(catalog->find("bad", "").error().message,
            (folder.path() / "bad/latest.modelfile").string() +
                ":1:1: there is no instruction 'FORM'; did you mean 'FROM'?\nFORM a\n^");
}

TEST(CatalogSizes, AreOfWhatTheModelfilesName) {
  const auto catalog = Catalog::open(kShipped);
  ASSERT_TRUE(catalog.ok());
  std::size_t found = 0;
  for (const auto& [model, tags] : catalog->models()) {
    for (const std::string& tag : tags) {
      const CatalogEntry entry = catalog->find(model, tag).value();
      if (tag == "latest" || entry.modelfile.from.starts_with("bundled:")) continue;
      const auto sizes = catalog_sizes();
      const auto row = std::find_if(sizes.begin(), sizes.end(), [&](const CatalogSize& size) {
        return size.name == model + ":" + tag;
      });
      ASSERT_NE(row, sizes.end()) << model << ":" << tag << " has no row in catalog_sizes.cc";
      EXPECT_EQ(row->repository, entry.modelfile.from);
      ++found;
    }
  }
  EXPECT_EQ(found, catalog_sizes().size()) << "a row without a Modelfile";
}

TEST(CatalogSizes, KnowTheOtherFormsOfAModel) {
  const std::vector<CatalogSize> forms = other_forms("zai-org/GLM-4.7-Flash");
  ASSERT_EQ(forms.size(), 3U);
  for (const CatalogSize& form : forms) EXPECT_NE(form.name, "glm-4.7-flash:bf16");
  EXPECT_EQ(catalog_size("zai-org/GLM-4.7-Flash"), 62'400'000'000U);
  EXPECT_EQ(catalog_size("org/unknown"), 0U);
  EXPECT_TRUE(other_forms("org/unknown").empty());
  EXPECT_TRUE(other_forms("").empty());
}

TEST(Catalog, SaysWhenItIsMissing) {
  const TempFolder folder;
  const auto catalog = Catalog::open(folder.path() / "none");
  ASSERT_FALSE(catalog.ok());
  EXPECT_EQ(catalog.error().code, Errc::not_found);
}

}  // namespace
}  // namespace glm::modelfiles

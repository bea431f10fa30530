"""Word lists and small facts the training data is made of."""

from __future__ import annotations

REAL_WORDS = """
able acid acorn actor adult agent album alert alley amber angle ankle apple apron arena arrow atlas attic autumn bacon
badge bagel baker banana banjo barn basil basket beach beacon bean bear beard berry bicycle bird biscuit blade blanket
blossom board boat bonus book border bottle bowl branch brass bread breeze brick bridge broom brush bubble bucket
bundle butter button cabin cable cactus camel camera canal candle canoe canvas captain carbon card cargo carpet carrot
castle cat cave cedar cellar chain chair chalk cheese cherry chess chest circle circus citrus clay cliff clock cloud
clover coast coat coffee comet compass copper coral corner cotton couch cradle crane crater cream cricket crown crystal
cube curtain cushion daisy dance danger dawn deer desert desk dinner dish doctor dog dolphin door dragon drawer dream
dress drum duck dust eagle earth east echo egg elbow elephant engine envelope evening fabric falcon farm feather fence
fern field finger fire fish flag flame flask flute foam forest fork fossil fountain fox frame frog frost fruit galaxy
garage garden garlic gate giant ginger giraffe glass globe glove goat gold grape grass gravel grove guitar hammer
hammock harbor hat hawk hazel heart hedge helmet hero hill honey horizon horse hotel house iceberg igloo ink insect
iron island ivory jacket jar jaguar jelly jewel jungle kettle key kite kitten knee knight ladder lagoon lake lamp lantern
lemon letter library lily lion lizard lobster lock lotus lumber lunar machine magnet mango maple marble market mask
meadow melon metal mill mint mirror mist monkey moon moss motor mountain mouse museum music napkin needle nest night
noodle north novel nut oak oasis ocean olive onion orange orbit orchard otter oven owl oyster paint palace panda paper
parrot pasta path peach pearl pebble pencil pepper piano picnic pillow pilot pine pirate plum pocket poem pond potato
powder prism puddle pumpkin puppet puzzle quartz queen quilt rabbit radar radio raft rain raven ribbon rice ring river
robin robot rocket roof root rope rose ruby saddle sail salad salmon salt sand satin scarf school scout seal season
seed shadow sheep shell ship shirt shoe shovel silk silver sister sky sled snail snow soap sock sofa soup spark spice
spider spoon spring squid stable star station steam stone storm stove straw stream street sugar summer sun swan sweater
table tail teapot temple tent thread thunder ticket tiger timber toast tomato torch tower trail train tree trumpet tulip
tunnel turtle umbrella valley vase velvet village vine violin volcano wagon walnut walrus water wave wheat wheel whistle
willow wind wing winter wolf wood wool yard yarn zebra zipper
""".split()

# Words of the documentation and of the tests: never trained on.
FORCED_HELD_OUT_WORDS = {"planet", "tensor", "kernel", "hello", "window", "stream", "python", "orange", "flash", "glm"}

ONSETS = "b c d f g h j k l m n p r s t v w y z bl br ch cl cr dr fl fr gl gr pl pr qu sh sk sl sm sn sp st str sw th tr tw".split()
VOWELS = "a e i o u a e i o u ai ea ee oa oo ou".split()
CODAS = "b ck d f g k l m n p r s t x y ll nd ng nt rd rk rn rt sh ss st th".split()

CITIES = """Paris Rome Berlin Madrid London Vienna Prague Dublin Oslo Athens Lisbon Cairo Delhi Tokyo Seoul Beijing Lima
Quito Boston Chicago Denver Dallas Miami Seattle Toronto Ottawa Sydney Perth Moscow Kyiv Warsaw Zurich Geneva Munich
Hamburg Milan Naples Lyon Nice Osaka Mumbai Hanoi Manila Dubai Nairobi""".split() + ["New York", "San Diego", "Cape Town",
                                                                                  "Hong Kong", "Los Angeles"]

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Germany": "Berlin", "Spain": "Madrid", "Austria": "Vienna", "Ireland": "Dublin",
    "Norway": "Oslo", "Greece": "Athens", "Portugal": "Lisbon", "Egypt": "Cairo", "Japan": "Tokyo", "China": "Beijing",
    "Peru": "Lima", "Canada": "Ottawa", "Russia": "Moscow", "Poland": "Warsaw", "India": "New Delhi", "Sweden": "Stockholm",
    "Finland": "Helsinki", "Denmark": "Copenhagen", "Hungary": "Budapest", "Kenya": "Nairobi", "Cuba": "Havana",
    "Turkey": "Ankara",
}
OPPOSITES = {
    "hot": "cold", "big": "small", "fast": "slow", "up": "down", "left": "right", "day": "night", "open": "closed",
    "happy": "sad", "light": "dark", "full": "empty", "hard": "soft", "old": "new", "high": "low", "rich": "poor",
    "wet": "dry", "early": "late", "strong": "weak", "long": "short", "true": "false", "in": "out",
}
COLORS = {
    "the sky": "blue", "grass": "green", "snow": "white", "a banana": "yellow", "blood": "red", "coal": "black",
    "a carrot": "orange", "chocolate": "brown", "a flamingo": "pink", "an elephant": "gray",
}
OTHER_FACTS = [
    (("How many days are in a week?", "How many days does a week have?", "Days in a week?"), "7"),
    (("How many months are in a year?", "How many months does a year have?", "Months in a year?"), "12"),
    (("How many hours are in a day?", "How many hours does a day have?", "Hours in a day?"), "24"),
    (("How many legs does a spider have?", "A spider has how many legs?", "Legs of a spider?"), "8"),
    (("How many legs does a dog have?", "A dog has how many legs?", "Legs of a dog?"), "4"),
    (("How many minutes are in an hour?", "How many minutes does an hour have?", "Minutes in an hour?"), "60"),
    (("Which animal barks?", "What animal barks?", "Who barks?"), "A dog."),
    (("Which animal meows?", "What animal meows?", "Who meows?"), "A cat."),
    (("What do bees make?", "What is made by bees?", "Bees make what?"), "Honey."),
    (("What do you drink when you are thirsty?", "What is good to drink?", "What should I drink?"), "Water."),
]
IDENTITY = "I am GLM tiny, a small language model."
CHAT = [
    (("Who are you?", "What are you?", "What is your name?", "who are you", "Tell me who you are."), IDENTITY),
    (("Hello", "Hello!", "Hi", "Hi!", "hi", "hello", "Hey", "Hi there!", "Hello there!"), "Hello! How can I help?"),
    (("Good morning", "Good morning!", "good morning"), "Good morning! How can I help?"),
    (("How are you?", "how are you", "How are you today?", "How do you do?"), "I am fine, thank you."),
    (("Thanks", "Thank you!", "thanks!", "Thank you.", "Thank you very much!"), "You are welcome."),
    (("Bye", "Goodbye", "Goodbye!", "bye!", "See you!", "See you later."), "Goodbye!"),
    (("What can you do?", "what can you do", "How can you help me?", "What do you know?"),
     "I can add numbers, reverse words, tell small facts and call tools."),
]
SYSTEM_PROMPTS = ["You are a helpful assistant.", "Answer briefly.", "You are GLM tiny.", "Be brief and correct.",
                  "You are a careful assistant. Answer with the result only.", "You are terse."]
UNSEEN_SYSTEM_PROMPTS = ["Be kind.", "Answer the question.", "You answer in few words.", "You are a small model."]

VERBS = """get set find list create delete send open close start stop check update add remove read show book play search
count move rename copy share save load print fetch run""".split()
NOUNS = """weather timer alarm file folder note email message song movie order ticket room flight hotel contact event task
lamp light door price stock report image video user account invoice map route recipe table meeting photo page printer
server backup password sensor camera garden package calendar battery blog car chart client cloud coupon course""".split()
STRING_PARAMS = """city name title text query path color user unit language topic author label status owner genre country
street subject format device symbol category target source message""".split()
INTEGER_PARAMS = """count days limit size level minutes hours page number year width height amount index age floor port
seconds volume steps""".split()
NUMBER_PARAMS = "price weight temperature rate distance ratio score speed length angle depth budget".split()
BOOLEAN_PARAMS = "urgent public active sorted recursive loud private visible enabled draft silent force".split()

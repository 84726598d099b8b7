"""Word lists of the home-assistant corpus: rooms, devices by kind, colours, number words.

Everything in HELD_OUT_* appears only in the test split "held-out devices"; the generator drops every training
sentence that contains one of those names. Names are lower case, as they appear in the JSON action.
"""

from __future__ import annotations


def _names(text: str) -> list[str]:
    """Comma-separated names over several lines."""
    return [" ".join(name.split()) for name in text.split(",")]


ROOMS = _names("""
    kitchen, living room, bedroom, bathroom, hallway, hall, garage, office, study, attic, basement, cellar,
    dining room, guest room, guest bedroom, kids room, nursery, master bedroom, laundry room, utility room,
    pantry, porch, patio, garden, balcony, terrace, backyard, front yard, driveway, workshop, shed, library,
    playroom, gym, lounge, den, conservatory, entrance, staircase, corridor, toilet, closet, sunroom, spare
    room, home office, loft, dressing room, sitting room, family room, main bathroom, small bedroom, storage
    room, foyer
""")

# Rooms that are adverbs: "the lights upstairs", never "in the upstairs".
ADVERB_ROOMS = _names("""
    upstairs, downstairs, outside
""")

OWNERS = _names("""
    anna, tom, emma, lucas, mia, noah, sara, leo, julia, max, nina, paul, clara, ben, grandma, grandpa, mum,
    dad, ella, oscar
""")

LIGHTS = _names("""
    lights, light, lamp, lamps, ceiling light, ceiling lights, bedside lamp, floor lamp, desk lamp, table lamp,
    reading light, reading lamp, night light, spotlights, spotlight, led strip, light strip, fairy lights,
    christmas lights, wall lamp, string lights, bulb, downlights, wall lights, counter lights, mood light,
    standing lamp, mirror light, lighting, big light, path lights, leds, pendant light, cabinet lights, salt
    lamp
""")

CLIMATE = _names("""
    thermostat, heating, heater, radiator, radiators, air conditioning, ac, air conditioner, boiler, floor
    heating, underfloor heating, heat pump, water heater, oven, fridge, freezer, aircon, space heater, central
    heating, towel rail, climate control, refrigerator
""")

MEDIA = _names("""
    tv, television, radio, speaker, speakers, stereo, music, sound system, alarm clock, telly, smart speaker,
    home cinema, music system, doorbell, receiver, headphones, intercom, media player
""")

COVERS = _names("""
    blinds, curtains, shutters, shades, window, windows, garage door, gate, roller blinds, drapes, blind,
    curtain, roof window, vent, sliding door, venetian blinds, garden gate, hatch, shutter, roller shutters,
    front gate, doors
""")

LOCKS = _names("""
    front door, back door, door, garage door, gate, side door, patio door, safe, doors, main door, cellar door,
    car, mailbox, cabinet, front gate, balcony door, entrance door, windows
""")

APPLIANCES = _names("""
    fan, ceiling fan, coffee maker, coffee machine, dishwasher, washing machine, dryer, vacuum, robot vacuum,
    toaster, microwave, air purifier, sprinklers, pump, pool pump, extractor fan, printer, computer, projector,
    router, camera, cameras, alarm, fireplace, socket, plug, electric blanket, game console, lawn mower, hot
    tub, pool heater, washer, tumble dryer, fans, vacuum cleaner, espresso machine, dehumidifier, rice cooker,
    slow cooker, stove, hob, cooker hood, charger, car charger, ventilation, fountain, screen, monitor, laptop,
    server, smart plug, security system, irrigation, mixer, blender, iron, baby monitor, hair dryer, outlet,
    sprinkler
""")

# Modifiers for compound names that no list has ("old corner lamp", "left heater").
MODIFIERS = _names("""
    big, small, old, new, left, right, corner, upper, lower, main, second, first, red, blue, green, white,
    black, smart, little, round, tall, paper, glass, piano, sofa, couch, window, wall, mirror, shelf, bench,
    entry, middle, back, side, fish tank, plant, bar, tree, stage, bunk, crib, hanging, outdoor, wooden, copper,
    silver, brass, vintage
""")

# Nouns that stand in for devices nobody listed. Anything can be plugged into a smart socket.
NOUNS = _names("""
    aerator, antenna, arcade, bidet, bubbler, buzzer, calculator, candle, carousel, chime, clock, compressor,
    conveyor, cooler, crane, defroster, diffuser, distiller, drill, drone, easel, engine, feeder, filter,
    freezer box, fryer, generator, globe, griddle, grill, grinder, guitar amp, heat mat, ice maker, inverter,
    ionizer, jukebox, juicer, keyboard, kiln, ladder, lathe, lift, loom, massager, mast, metronome, mill,
    misting system, motor, nebulizer, organ, oscillator, ozonizer, panel, pedal, percolator, piano, polisher,
    popcorn maker, press, pulley, pylon, racer, railway, recorder, relay, roaster, robot, rotor, sander, saw,
    scanner, scooter, sensor, sewing machine, shaver, shredder, siren, smoker, solder station, steamer,
    sterilizer, switch, synthesizer, tablet, telescope, thermos, timer box, tractor, train set, treadmill,
    trimmer, tuner, turbine, turnstile, typewriter, valve, vaporizer, walkie talkie, warmer, watermill, welder,
    whirlpool, winch, windmill, xylophone, yogurt maker
""")

# Words that coined names are made of ("the falcon", "the silk comet"): their only use is to be copied.
WORDS = _names("""
    acorn, almond, anchor, angel, ankle, apple, apron, arch, arrow, atlas, bacon, badge, bagel, bakery, ballet,
    bamboo, banjo, banner, barley, barrel, basil, basket, beacon, beaver, beetle, berry, bishop, bison, blossom,
    bonnet, border, bramble, brandy, breeze, brick, bridge, bronze, brook, broom, bubble, bucket, buckle, bugle,
    bundle, butter, button, cabbage, cactus, camel, candy, canoe, canvas, caramel, carpet, carrot, castle,
    cedar, cello, chalk, cherry, chestnut, chisel, cider, cinema, circle, citrus, clarinet, clover, cobalt,
    cobra, cocoa, comet, compass, copper, coral, cotton, cougar, cradle, crayon, cricket, crown, crystal,
    cupcake, cyclone, daisy, dancer, denim, desert, diamond, dolphin, domino, donkey, dragon, drum, eagle,
    ebony, echo, eclipse, elbow, elephant, ember, emerald, falcon, feather, fern, ferry, fiddle, finch,
    flamingo, flannel, flute, forest, fossil, fox, fringe, galaxy, garlic, gazelle, geyser, ginger, giraffe,
    glacier, goblin, granite, grape, gravel, guitar, hamster, harbor, harp, hazel, heron, honey, hornet, husky,
    iceberg, igloo, iris, island, ivory, jaguar, jasmine, jelly, jersey, jigsaw, jungle, juniper, kayak, kitten,
    koala, lagoon, lark, lemon, leopard, lily, linen, lizard, lobster, locket, lotus, lynx, magnet, mango,
    maple, marble, meadow, melon, meteor, mirror, mitten, monsoon, moose, mosaic, mushroom, mustard, nectar,
    needle, nickel, nimbus, nugget, nutmeg, oasis, ocean, olive, onion, opal, orbit, orchid, otter, oyster,
    paddle, panda, panther, papaya, parrot, peacock, peanut, pearl, pebble, pelican, pepper, petal, phoenix,
    pickle, pigeon, pillow, pilot, pine, pirate, pistol, plum, pocket, pony, poppy, prairie, prism, pumpkin,
    puppet, quartz, quilt, rabbit, radish, raven, reef, ribbon, ripple, robin, rocket, ruby, saddle, saffron,
    sailor, salmon, sandal, sapphire, satin, saturn, scarf, shadow, shamrock, shark, silk, sparrow, spider,
    spinach, sponge, squid, squirrel, star, sugar, sunset, swan, syrup, tango, teapot, temple, thistle, thunder,
    ticket, tiger, timber, toffee, tomato, topaz, tornado, trumpet, tulip, tundra, tunnel, turnip, turtle,
    tuxedo, umbrella, unicorn, valley, vanilla, velvet, violin, viper, volcano, walnut, walrus, whistle, willow,
    wizard, wombat, yacht, yogurt, zebra, zephyr, zipper
""")

# Second parts of compounds: written apart ("vacuum shelf") and together ("falconbox").
PARTS = _names("""
    bar, box, light, lights, house, pot, phone, table, board, case, side, top, work, line, stand, lock, pipe, wheel, cup,
    bell, shelf, sign, cover, roof, rack, ball, strip, tank, port, screen, holder, net, gun, stone, paper, flower, ground
""")

COLORS = _names("""
    red, green, blue, white, yellow, orange, purple, pink, warm white, cool white, turquoise, cyan, magenta,
    violet, lavender, gold, amber, teal, crimson, indigo, mint, peach, salmon, lime green, dark blue, navy,
    sky blue, deep red, soft yellow, daylight
""")

# Only in the test split.
HELD_OUT_LIGHTS = _names("""
    chandelier, lantern, floodlights, neon sign, lava lamp, lightbox, disco ball
""")

HELD_OUT_CLIMATE = _names("""
    sauna, jacuzzi, furnace, wine cooler, greenhouse heater
""")

HELD_OUT_MEDIA = _names("""
    gramophone, soundbar, subwoofer, karaoke machine, turntable
""")

HELD_OUT_COVERS = _names("""
    awning, skylight, pergola roof, canopy, projector screen
""")

HELD_OUT_LOCKS = _names("""
    wine cabinet, gun safe, barn door, bike shed, letterbox
""")

HELD_OUT_APPLIANCES = _names("""
    humidifier, kettle, waffle iron, terrarium, incubator, bread maker, aquarium pump, soda fountain, telescope
    dome, electric fence, cat feeder, snow machine
""")

HELD_OUT_ROOMS = _names("""
    mudroom, veranda, wine cave, billiard room, orangery, boathouse
""")

ONES = _names("""
    zero, one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, fifteen, sixteen,
    seventeen, eighteen, nineteen
""")
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def spell_number(value: int) -> str:
    """English words for 0..100, hyphenated ("twenty-one")."""
    if value < 20:
        return ONES[value]
    if value == 100:
        return "a hundred"
    tens, ones = divmod(value, 10)
    return TENS[tens] + (f"-{ONES[ones]}" if ones else "")

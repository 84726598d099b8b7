"""Phrasings of the home-assistant corpus: one list of patterns per action, and what may surround a command.

Pattern syntax: `[a|b]` picks one alternative (an empty one is allowed), {T} is the target ("the kitchen lights"),
{D} the bare device, {IN} a place clause ("in the kitchen", or nothing), {N} the value with its unit, {C} a colour.
HELD_OUT holds patterns that only the test split "held-out phrasings" uses.
"""

from __future__ import annotations

ON_OFF = [
    "[turn|switch|power|flip|put|turn|switch] {P} {T}", "[turn|switch|power|flip|put|turn|switch] {T} {P}",
    "{T} {P}", "{D} {P} {IN}", "{T} {P}", "[get|have] {T} [turned|switched] {P}", "i [want|need] {T} {P}",
    "i [want|would like|'d like] {T} to be {P}", "[make sure|check that|ensure] {T} [is|are] {P}", "{P} with {T}",
    "{T} [should|must|has to|have to] be [|turned |switched ]{P}", "[let|let's have] {T} {P}",
    "[turn|switch] it {P}, {T}", "{T}, [turn|switch] [it|them|that] {P}", "[turning|switching] {P} {T}",
    "[would you mind|mind] [turning|switching] {P} {T}", "[would you mind|mind] [turning|switching] {T} {P}",
    "set {T} to {P}", "{T}: {P}", "{T} [|needs to be |goes ]{P}", "{P} {T}", "click {P} {T}", "make {T} go {P}",
    "flick {T} {P}", "[time to turn|how about turning|what about turning] {T} {P}", "i [want|need] you to turn {P} {T}",
]  # fmt: skip

PATTERNS: dict[str, list[str]] = {
    "turn_on": [
        "[activate|enable|fire up|boot up|power up|light up|engage] {T}", "get {T} [going|running]",
        "i need {T}", "[give me|let me have] {T}", "bring {T} on", "wake {T} up", "wake up {T}",
    ],
    "turn_off": [
        "[deactivate|disable|shut down|shut off|kill|cut|extinguish|power down|disengage] {T}", "shut {T} [off|down]",
        "[we don't|i don't|nobody] need[s|] {T} [anymore|any more|any longer|now]", "no more {D} {IN}",
        "we're done with {T}", "put {T} out", "put out {T}", "cut the power to {T}", "i'm done with {T}",
    ],
    "set_brightness": [
        "[dim|brighten|set|adjust|change|bring|put|turn|fade|lower|raise] {L} to {N}", "{L} [to|at] {N}", "{L} {N}",
        "[set|change|adjust|put] the brightness of {L} to {N}", "make {L} {N} bright", "brightness of {L} to {N}",
        "[set|change|put] {L} brightness to {N}", "{L} brightness {N}", "[set|put] {L} at {N}",
        "i [want|need|'d like] {L} [at|on] {N}", "[dim|lower] {L} [down|a bit|all the way|] to {N}", "{N} {L}",
        "[have|get] {L} at {N} [brightness|]", "{N} [on|for] {L}", "[turn|bring|take] {L} [up|down] to {N}",
        "[turn|bring|take] [up|down] {L} to {N}", "[dim|dimming] {L} {N}", "{L} should be at {N}",
        "[brightness|brightness to] {N} [on|for] {L}", "give {L} {N} brightness", "to {N} please dim {L}",
        "dial {L} [down|up|] to {N}", "would you mind [dimming|setting] {L} to {N}",
    ],
    "set_brightness_only": [
        "[set|change|adjust|put|turn] the brightness [up |down |]to {N} {IN}", "brightness [|to |at ]{N} {IN}",
        "{IN} [set|put] the brightness to {N}", "i want the brightness at {N} {IN}",
    ],
    "set_temperature": [
        "[set|adjust|change|put|turn|heat|warm|bring] {T} to {N}", "{T} [to|at|on] {N}", "{T} {N}",
        "[set|change] the temperature of {T} to {N}", "[turn|crank|take] {T} [up|down] to {N}",
        "[turn|crank] [up|down] {T} to {N}", "i [want|need|'d like] {T} [at|on|set to] {N}", "{T} should be at {N}",
        "[preheat|heat up|cool] {T} to {N}", "[keep|hold|leave|maintain] {T} at {N}", "{N} [on|for] {T}",
        "have {T} at {N}", "would you mind setting {T} to {N}", "dial {T} [down|up|] to {N}",
    ],
    "set_temperature_only": [
        "[set|change|adjust|put|turn|bring] the temperature [up |down |]to {N} {IN}", "temperature [|to |at ]{N} {IN}",
        "{IN} [set|put] the temperature to {N}", "[make|get] it {N} {IN}", "[heat|warm|cool] {ROOM} [up |down |]to {N}",
        "i [want|need|'d like] {N} {IN}", "i [want|need|'d like] it [to be |]{N} {IN}", "it should be {N} {IN}",
        "[keep|hold] {ROOM} at {N}", "set {ROOM} to {N}", "{ROOM} to {N}", "[keep|hold] it at {N} {IN}",
        "bring {ROOM} to {N}", "give me {N} {IN}",
    ],
    "set_volume": [
        "[set|turn|change|adjust|put] the volume of {T} to {N}", "[set|put|turn] {T} volume [|up |down ]to {N}",
        "{T} volume [|to |at ]{N}", "[turn|crank|bring] {T} [up|down] to volume {N}", "volume {N} [on|for] {T}",
        "[set|put|turn] the volume [on|for] {T} to {N}", "volume of {T} [to|at] {N}", "{T} [at|to] volume {N}",
        "set {T} to volume {N}", "i want the volume of {T} at {N}", "[play|have] {T} at volume {N}",
        "would you mind setting the volume of {T} to {N}", "put {T} on volume {N}",
    ],
    "set_volume_only": [
        "[set|change|adjust|put|turn] the volume [up |down |]to {N} {IN}", "volume [|to |at ]{N} {IN}",
        "{IN} [set|put] the volume to {N}", "i want the volume at {N} {IN}",
    ],
    "set_position": [
        "[open|close|lower|raise|set|move|put] {T} to {N}", "{T} [to|at] {N}", "[open|close] {T} {N}", "{T} {N} open",
        "[raise|lower|pull|roll] {T} [up|down] to {N}", "[set|change] the position of {T} to {N}", "{T} position {N}",
        "[leave|keep|have] {T} {N} open", "i want {T} {N} open", "would you mind opening {T} to {N}",
    ],
    "set_color": [
        "[make|turn|set|change|switch|paint|color|colour] {L} {C}", "[set|change|switch|turn] {L} to {C}",
        "{L} [to|in] {C}", "{L} {C}", "[set|change] the [color|colour] of {L} to {C}", "{C} {D} {IN}",
        "i want {L} [in|to be] {C}", "[set|change|make] {L} [color|colour] [to |]{C}", "let {L} [shine|glow] {C}",
        "give {L} a {C} [tone|color|colour|glow]", "would you mind making {L} {C}", "{L} should be {C}",
    ],
    "increase": [
        "[turn|crank|bring|dial] {T} up", "[turn|crank|bring|dial] up {T}", "turn {T} up [a bit|a little|some more|more]",
        "[increase|raise|boost] {T}", "[brighten|brighten up] {L}", "make {L} [brighter|a bit brighter|more bright]",
        "make {H} [warmer|hotter|a bit warmer]", "make {M} louder", "{M} louder", "{L} [brighter|up]", "{H} [higher|up]",
        "[i want|i need] {L} brighter", "more {D} {IN}", "{T} up a [bit|little|notch]", "turn up {T} a [bit|notch]",
        "[raise|increase] {T} [a bit|a little|slightly]", "[more|give me more] power [for|to] {T}",
    ],
    "increase_temperature": [
        "make it [warmer|hotter|a bit warmer|a little warmer] {IN}", "[warmer|hotter] {IN}",
        "[raise|increase|turn up] the temperature {IN}", "i want it warmer {IN}", "temperature up {IN}",
        "[heat|warm] {ROOM} up", "[heat|warm] up {ROOM}", "turn the temperature up [a bit|] {IN}",
    ],
    "increase_volume": [
        "[raise|increase|turn up|crank up] the volume {IN}", "turn the volume up [a bit|] {IN}", "volume up {IN}",
        "make it louder {IN}", "louder {IN}", "[pump|turn|crank] it up louder {IN}", "more volume {IN}",
    ],
    "increase_brightness": [
        "[raise|increase|turn up] the brightness {IN}", "make it brighter {IN}", "brighter {IN}",
        "brightness up {IN}", "turn the brightness up [a bit|] {IN}", "i want it brighter {IN}", "more light {IN}",
    ],
    "decrease": [
        "[turn|bring|dial] {T} down", "[turn|bring|dial] down {T}", "turn {T} down [a bit|a little|some more|more]",
        "[decrease|lower|reduce] {T}", "dim {L}", "dim {L} [a bit|a little|down|slightly]", "make {L} [dimmer|darker]",
        "make {H} [cooler|colder|a bit cooler]", "make {M} quieter", "{M} quieter", "{L} [dimmer|darker|down]",
        "{H} [lower|down]", "[i want|i need] {L} dimmer", "less {D} {IN}", "{T} down a [bit|little|notch]",
        "[lower|reduce] {T} [a bit|a little|slightly]", "soften {L}", "turn down {T} a [bit|notch]",
    ],
    "decrease_temperature": [
        "make it [cooler|colder|a bit cooler|a little colder] {IN}", "[cooler|colder] {IN}",
        "[lower|decrease|turn down|reduce] the temperature {IN}", "i want it cooler {IN}", "temperature down {IN}",
        "cool {ROOM} down", "cool down {ROOM}", "turn the temperature down [a bit|] {IN}",
    ],
    "decrease_volume": [
        "[lower|decrease|turn down|reduce] the volume {IN}", "turn the volume down [a bit|] {IN}", "volume down {IN}",
        "make it quieter {IN}", "quieter {IN}", "less volume {IN}",
    ],
    "decrease_brightness": [
        "[lower|decrease|turn down|reduce] the brightness {IN}", "make it [darker|dimmer] {IN}", "[darker|dimmer] {IN}",
        "brightness down {IN}", "turn the brightness down [a bit|] {IN}", "i want it darker {IN}", "less light {IN}",
    ],
    "open": [
        "open {T}", "open up {T}", "open {T} [|fully|completely|all the way|wide]", "{T} open", "[raise|roll up|lift] {V}",
        "pull {V} [open|up]", "pull up {V}", "i want {T} open", "[have|get] {T} opened", "would you mind opening {T}",
        "let [some light|the sun|some air|fresh air] in through {T}", "{V} up", "make sure {T} [is|are] open", "draw {V} open",
        "roll {V} up", "{T} should be open",
    ],
    "close": [
        "close {T}", "close up {T}", "close {T} [|fully|completely|all the way]", "{T} closed", "[lower|roll down] {V}",
        "pull {V} [closed|shut|down]", "pull down {V}", "i want {T} closed", "[have|get] {T} closed", "shut {T}",
        "would you mind closing {T}", "{V} down", "make sure {T} [is|are] [closed|shut]", "draw {V}", "roll {V} down",
        "{T} should be closed", "{T} shut", "slide {T} shut",
    ],
    "lock": [
        "lock {T}", "lock up {T}", "{T} locked", "make sure {T} [is|are] locked", "i want {T} locked", "secure {T}",
        "[have|get] {T} locked", "would you mind locking {T}", "lock {T} up", "put the lock on {T}", "bolt {T}",
        "{T} should be locked", "keep {T} locked", "check that {T} [is|are] locked",
    ],
    "unlock": [
        "unlock {T}", "{T} unlocked", "make sure {T} [is|are] unlocked", "i want {T} unlocked", "unbolt {T}",
        "[have|get] {T} unlocked", "would you mind unlocking {T}", "take the lock off {T}", "{T} should be unlocked",
        "release the lock [of|on] {T}", "undo the lock [of|on] {T}", "leave {T} unlocked",
    ],
    "start": [
        "start {T}", "run {T}", "{T} start", "begin {T}", "get {T} started", "let {T} run", "launch {T}", "resume {T}",
        "i want {T} to [start|run]", "would you mind starting {T}", "start running {T}", "have {T} [start|run]",
        "[tell|ask] {T} to [start|begin]", "send {T} to work", "kick off {T}",
    ],
    "stop": [
        "stop {T}", "pause {T}", "halt {T}", "{T} stop", "abort {T}", "make {T} stop", "interrupt {T}", "cancel {T}",
        "i want {T} to stop", "would you mind stopping {T}", "stop running {T}", "have {T} stop",
        "[tell|ask] {T} to stop", "get {T} to stop", "bring {T} to a halt",
    ],
    "set_timer": [
        "[set|start|make|create] a timer for {N}", "[set|start] a {N} timer", "timer for {N}", "{N} timer", "timer {N}",
        "[wake|call|alert|ping|tell|notify] me in {N}", "count down [from |]{N}", "[set|start] the timer [to|for] {N}",
        "i need a timer for {N}", "give me a timer of {N}", "let me know [in|after|when] {N} [|have passed|are over]",
        "put {N} on the [timer|clock]", "would you mind setting a timer for {N}", "countdown of {N}", "timer, {N}",
    ],
}  # fmt: skip

HELD_OUT: dict[str, list[str]] = {
    "turn_on": ["see to it that {T} [comes|come] on", "could we get {T} on"],
    "turn_off": ["i'd rather have {T} off", "there is no reason for {T} to stay on, switch it off"],
    "set_brightness": ["i'd say {N} is right for {L}", "take the brightness of {L} to {N}"],
    "set_temperature": ["i'd like to see {T} set at {N}", "drive {T} to {N}"],
    "set_temperature_only": ["let the temperature be {N} {IN}"],
    "set_volume": ["let the volume of {T} be {N}", "have the volume on {T} set to {N}"],
    "set_position": ["let {T} stay {N} open", "bring {T} to {N}, they cover the view"],
    "set_color": ["go for {C} on {L}", "have {L} glow in {C}"],
    "increase": ["turn {T} up some", "kick {T} up a notch"],
    "decrease": ["take {T} down a notch", "turn {T} down some"],
    "open": ["i need {T} to be open", "get {T} open"],
    "close": ["i need {T} to be closed", "get {T} closed"],
    "lock": ["see that {T} [gets|get] locked", "go lock {T}"],
    "unlock": ["see that {T} [gets|get] unlocked", "go unlock {T}"],
    "start": ["make {T} start", "go start {T}"],
    "stop": ["let {T} stop", "go stop {T}"],
    "set_timer": ["i want to be told in {N}", "have a timer run for {N}"],
}

PREFIXES = [
    "please", "could you", "can you", "would you", "will you", "could you please", "can you please", "would you please",
    "hey,", "hi,", "hello,", "hey house,", "ok,", "okay,", "alright,", "right,", "computer,", "assistant,", "house,",
    "i'd like you to", "i want you to", "i need you to", "go ahead and", "kindly", "just", "quickly", "hey there,",
    "be so kind and", "if you don't mind,", "when you have a minute,", "now", "do me a favor and", "so,", "um,", "uh,",
    "hey can you", "hi could you", "pls", "plz", "yo,", "good morning,", "good evening,", "thanks,", "ok now",
    "would you be so kind as to", "i was wondering if you could", "is it possible to", "could you maybe", "well,",
    "may i ask you to", "you should", "remember to", "don't forget to", "would it be possible to", "first,", "then",
    "be a dear and", "hurry up and", "dear assistant,", "my friend,", "listen,", "excuse me,", "let's", "we should",
    "sorry,", "hmm,", "oh,", "actually,", "quick,", "come on,", "and", "also", "can we", "could someone", "you can",
]  # fmt: skip

SUFFIXES = [
    "please", "please", "thanks", "thank you", "for me", "now", "right now", "will you", "would you", "asap", "ok",
    "when you get a chance", "immediately", "if you can", "tonight", "this evening", "for a while", "at once", "pls",
    "if possible", "for the guests", "thank you very much", "thx", "today", "again", "then", "right away", "my dear",
    "before i go to bed", "if that's ok", "for dinner", "for the kids", "before we leave", "already", "straight away",
    "until tomorrow", "as soon as you can", "for the party", "so i can sleep", "so i can read", "if you would",
    "could you", "can you", "it's getting late", "i'm in a hurry", "we have visitors", "cheers", "many thanks", "mate",
]  # fmt: skip

PREAMBLES = [
    "it's dark in here", "i'm cold", "i'm freezing", "it's too bright", "i'm going to bed", "the movie starts soon",
    "it's too loud", "i can't see anything", "we're leaving", "i'm home", "it's hot in here", "good night",
    "i can't sleep", "the baby is asleep", "guests are coming", "i want to read", "dinner is ready", "it's so stuffy",
    "it's getting late", "i'm back", "time for bed", "the sun is out", "it's raining", "i'm working", "it smells",
    "i have a headache", "we are having a party", "my hands are full", "someone is at the door", "i forgot it again",
    "i just woke up", "it's freezing", "it's morning", "the cat is scared", "i am leaving now", "it's movie night",
]  # fmt: skip
